"""ChangePassword."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.errors import InvalidCredentials
from services.auth.model.accounts import canonical_password, folded
from services.auth.model.audit import Deed, Origin
from services.auth.ports.accounts import Accounts, PasswordRules, Passwords
from services.auth.ports.audit import AuditTrail
from services.auth.ports.sessions import LoginAttempts, Sessions
from services.auth.usecases.login_delays import refuse_for
from services.kernel.errors import NotFound
from services.kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """Sets a new password for the caller."""

    accounts: Accounts
    sessions: Sessions
    passwords: Passwords
    rules: PasswordRules
    attempts: LoginAttempts
    trail: AuditTrail

    async def __call__(self, caller: Principal, current: str, new: str, origin: Origin) -> None:
        """The other login sessions end, also in every other process.

        Raises InvalidArgument for a new password that is not allowed, InvalidCredentials for a wrong current one, LoginDelayed after
        too many of those, PasswordsOverloaded, and NotFound for people without an account here.
        """
        self.rules.check("new_password", new)
        account = await self.accounts.with_id(caller.user_id)
        if account is None:
            raise NotFound.of("auth.user", caller.user_id)
        name = folded(account.user.email)
        refuse_for(await self.attempts.delay(name, origin.address))
        check = await self.passwords.check(account.password_hash, canonical_password(current))
        if not check.correct:
            refuse_for(await self.attempts.failed(name, origin.address))
            await self.trail.record(Deed("user.change_password_failed", caller.user_id, origin))
            raise InvalidCredentials
        refuse_for(await self.attempts.succeeded(name, origin.address))
        new_hash = await self.passwords.hash(canonical_password(new))
        deed = Deed("user.change_password", caller.user_id, origin)
        changed = await self.sessions.change_password(
            caller.user_id, account.password_hash, new_hash, caller.session_id, deed
        )
        if not changed:
            raise InvalidCredentials
