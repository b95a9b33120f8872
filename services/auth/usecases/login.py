"""Login."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from services.auth.errors import AccountDisabled, InvalidCredentials
from services.auth.model.accounts import Account, User, canonical_password, folded, storable
from services.auth.model.audit import Deed, Origin
from services.auth.model.sessions import NewSession, TokenPair, Verdict
from services.auth.ports.accounts import Accounts, Passwords
from services.auth.ports.audit import AuditTrail
from services.auth.ports.sessions import AccessTokens, LoginAttempts, RefreshTokens, Sessions
from services.auth.usecases.login_delays import refuse_for
from services.kernel.ids import new_id


class Login:
    """Opens a login session for an e-mail and its password."""

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        passwords: Passwords,
        refresh_tokens: RefreshTokens,
        access_tokens: AccessTokens,
        attempts: LoginAttempts,
        trail: AuditTrail,
        *,
        lifetime: timedelta,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._passwords = passwords
        self._refresh_tokens = refresh_tokens
        self._access_tokens = access_tokens
        self._attempts = attempts
        self._trail = trail
        self._lifetime = lifetime

    async def __call__(
        self, email: str, password: str, device_name: str, origin: Origin
    ) -> tuple[TokenPair, User]:
        """The tokens of the new session, and whose it is.

        Raises InvalidCredentials, after the same work for an unknown e-mail as for a wrong password; AccountDisabled, to who
        knew the password; LoginDelayed after too many failures, without a look at the password or a word about it;
        PasswordsOverloaded.
        """
        device_name = storable("device_name", device_name)
        password = canonical_password(password)
        name = folded(email)
        refuse_for(await self._attempts.delay(name, origin.address))
        account = await self._accounts.with_email(email)
        check = await self._passwords.check(account.password_hash if account else None, password)
        if account is None or not check.correct:
            await self._failed(name, account, origin)
            raise InvalidCredentials
        if account.user.disabled:
            # Not counted, but others' failures hide this answer as they hide any other.
            refuse_for(await self._attempts.delay(name, origin.address))
            raise AccountDisabled
        refuse_for(await self._attempts.succeeded(name, origin.address))
        new_hash = await self._passwords.hash(password) if check.outdated else None
        token = self._refresh_tokens.make()
        session = NewSession(
            session_id=new_id(),
            user_id=account.user.user_id,
            refresh_digest=self._refresh_tokens.digest(token),
            device_name=device_name,
            lifetime=self._lifetime,
        )
        owner = dataclasses.replace(origin, actor_id=session.user_id)
        deed = Deed("user.login", session.user_id, owner, {"session_id": session.session_id})
        opened = await self._sessions.open(session, account.password_hash, deed, new_hash)
        if opened is None:
            raise InvalidCredentials
        if opened.verdict is Verdict.DISABLED or opened.expire_time is None:
            raise AccountDisabled
        access = await self._access_tokens.sign(
            opened.user.user_id, opened.session_id, opened.user.role, opened.revision
        )
        return TokenPair(access, token, opened.expire_time), opened.user

    async def _failed(self, name: str, account: Account | None, origin: Origin) -> None:
        """Count and record it, with the same statements whether there is such an account or not."""
        refuse_for(await self._attempts.failed(name, origin.address))
        await self._trail.record(Deed("user.login_failed", account.user.user_id if account else "", origin))
