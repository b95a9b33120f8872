"""A new password for somebody who lost theirs, from the command line of the server."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.model.accounts import canonical_password, folded
from services.auth.model.audit import COMMAND_LINE, Deed
from services.auth.ports.accounts import Accounts, PasswordRules, Passwords
from services.auth.ports.sessions import LoginAttempts, Sessions
from services.auth.usecases.random_password import random_password
from services.kernel.errors import InvalidArgument, NotFound

# The contract states the same for calls; no call brings this password.
_FEWEST_CHARACTERS, _MOST_CHARACTERS = 8, 256


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """Sets a password without asking for the one before. A disabled account stays disabled."""

    accounts: Accounts
    sessions: Sessions
    passwords: Passwords
    rules: PasswordRules
    attempts: LoginAttempts

    async def __call__(self, email: str, password: str | None = None) -> str:
        """The password that the account has now: the given one, or a random one. All login sessions of the person have ended, and
        failed logins no longer delay the next one.

        Raises NotFound, InvalidArgument for a password that is not allowed, and PasswordsOverloaded.
        """
        if password is None:
            password = random_password()
        elif not _FEWEST_CHARACTERS <= len(password) <= _MOST_CHARACTERS:
            raise InvalidArgument.field(
                "password", f"must have {_FEWEST_CHARACTERS} to {_MOST_CHARACTERS} characters"
            )
        self.rules.check("password", password)
        account = await self.accounts.with_email(email)
        if account is None:
            raise NotFound.of("auth.user", email)
        user_id = account.user.user_id
        new_hash = await self.passwords.hash(canonical_password(password))
        deed = Deed("user.reset_password", user_id, COMMAND_LINE)
        if not await self.sessions.change_password(user_id, None, new_hash, "", deed):
            raise NotFound.of("auth.user", email)
        await self.attempts.forget(folded(account.user.email))
        return password
