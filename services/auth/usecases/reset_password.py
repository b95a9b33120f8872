"""A new password for somebody who lost theirs, from the command line of the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from services.auth.model.accounts import Account, canonical_password, folded
from services.auth.model.audit import COMMAND_LINE, Deed
from services.auth.ports.accounts import Accounts, PasswordRules, Passwords
from services.auth.ports.sessions import LoginAttempts, Sessions
from services.auth.usecases.random_password import random_password
from services.kernel.errors import InvalidArgument, NotFound

# The contract states the same for calls; no call brings this password.
_FEWEST_CHARACTERS, _MOST_CHARACTERS = 8, 256


@dataclass(frozen=True, slots=True)
class NewPassword:
    """The password that an account has from now on. Nobody logs in with it while the account is disabled."""

    email: str
    password: str = field(repr=False)
    disabled: bool


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """Sets a password without asking for the one before. A disabled account stays disabled."""

    accounts: Accounts
    sessions: Sessions
    passwords: Passwords
    rules: PasswordRules
    attempts: LoginAttempts

    async def __call__(self, who: str, password: str | None = None) -> NewPassword:
        """The password that the account has now, which `who` names by e-mail or id: the given one, or a random one. All login sessions
        of the person have ended, and failed logins no longer delay the next one.

        Raises NotFound, InvalidArgument for a password that is not allowed, and PasswordsOverloaded.
        """
        if password is None:
            password = random_password()
        elif not _FEWEST_CHARACTERS <= len(password) <= _MOST_CHARACTERS:
            raise InvalidArgument.field(
                "password", f"must have {_FEWEST_CHARACTERS} to {_MOST_CHARACTERS} characters"
            )
        self.rules.check("password", password)
        account = await self._account(who)
        if account is None:
            raise NotFound.of("auth.user", who)
        user_id = account.user.user_id
        new_hash = await self.passwords.hash(canonical_password(password))
        deed = Deed("user.reset_password", user_id, COMMAND_LINE)
        if not await self.sessions.change_password(user_id, None, new_hash, "", deed):
            raise NotFound.of("auth.user", who)
        await self.attempts.forget(folded(account.user.email))
        return NewPassword(account.user.email, password, account.user.disabled)

    async def _account(self, who: str) -> Account | None:
        try:
            user_id = str(UUID(who))
        except ValueError:
            return await self.accounts.with_email(who)
        return await self.accounts.with_id(user_id)
