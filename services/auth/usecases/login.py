"""Login."""

from __future__ import annotations

from datetime import timedelta

from services.auth.errors import AccountDisabled, InvalidCredentials
from services.auth.model import NewSession, TokenPair, User, Verdict, canonical_password, storable
from services.auth.ports import AccessTokens, Accounts, Passwords, RefreshTokens, Sessions
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
        *,
        lifetime: timedelta,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._passwords = passwords
        self._refresh_tokens = refresh_tokens
        self._access_tokens = access_tokens
        self._lifetime = lifetime

    async def __call__(self, email: str, password: str, device_name: str = "") -> tuple[TokenPair, User]:
        """The tokens of the new session, and whose it is.

        Raises InvalidCredentials, after the same work for an unknown e-mail as for a wrong password; AccountDisabled, to who
        knew the password; PasswordsOverloaded.
        """
        device_name = storable("device_name", device_name)
        password = canonical_password(password)
        account = await self._accounts.with_email(email)
        check = await self._passwords.check(account.password_hash if account else None, password)
        if account is None or not check.correct:
            raise InvalidCredentials
        if account.user.disabled:
            raise AccountDisabled
        new_hash = await self._passwords.hash(password) if check.outdated else None
        token = self._refresh_tokens.make()
        session = NewSession(
            session_id=new_id(),
            user_id=account.user.user_id,
            refresh_digest=self._refresh_tokens.digest(token),
            device_name=device_name,
            lifetime=self._lifetime,
        )
        opened = await self._sessions.open(session, account.password_hash, new_hash)
        if opened is None:
            raise InvalidCredentials
        if opened.verdict is Verdict.DISABLED or opened.expire_time is None:
            raise AccountDisabled
        access = await self._access_tokens.sign(opened.user.user_id, opened.session_id, opened.user.role)
        return TokenPair(access, token, opened.expire_time), opened.user
