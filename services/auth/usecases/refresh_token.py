"""RefreshToken."""

from __future__ import annotations

from datetime import timedelta

from services.auth.errors import (
    AccountDisabled,
    RefreshTokenExpired,
    RefreshTokenInvalid,
    RefreshTokenReused,
    RefreshTokenRevoked,
)
from services.auth.model.audit import Origin
from services.auth.model.sessions import Successor, TokenPair, Verdict
from services.auth.ports.sessions import AccessTokens, RefreshTokens, Sessions
from services.kernel.errors import ServiceError
from services.kernel.ids import new_id

_REFUSALS: dict[Verdict, type[ServiceError]] = {
    Verdict.EXPIRED: RefreshTokenExpired,
    Verdict.REUSED: RefreshTokenReused,
    Verdict.REVOKED: RefreshTokenRevoked,
    Verdict.DISABLED: AccountDisabled,
}


class RefreshToken:
    """Exchanges a refresh token for its successor and a new access token."""

    def __init__(
        self,
        sessions: Sessions,
        refresh_tokens: RefreshTokens,
        access_tokens: AccessTokens,
        *,
        lifetime: timedelta,
        grace: timedelta,
    ) -> None:
        self._sessions = sessions
        self._refresh_tokens = refresh_tokens
        self._access_tokens = access_tokens
        self._lifetime = lifetime
        self._grace = grace

    async def __call__(self, presented: str, origin: Origin) -> TokenPair:
        """The new pair; within the grace after the first use, the living token of the session, whichever that is by then.

        Raises RefreshTokenInvalid, RefreshTokenExpired, RefreshTokenRevoked, RefreshTokenReused and AccountDisabled.
        """
        digest = self._refresh_tokens.digest(presented)
        token = self._refresh_tokens.make()
        successor = Successor(
            row_id=new_id(),
            digest=self._refresh_tokens.digest(token),
            sealed=self._refresh_tokens.seal(token, presented),
            lifetime=self._lifetime,
        )
        refreshed = await self._sessions.refresh(digest, successor, self._grace, origin)
        if refreshed is None:
            raise RefreshTokenInvalid
        refusal = _REFUSALS.get(refreshed.verdict)
        if refusal is not None:
            raise refusal()  # type: ignore[call-arg]
        assert refreshed.expire_time is not None
        if refreshed.verdict is Verdict.REPLAYED:
            token = presented
            for sealed in refreshed.sealed:
                token = self._refresh_tokens.unseal(sealed, token)
        user = refreshed.user
        access = await self._access_tokens.sign(
            user.user_id, refreshed.session_id, user.role, refreshed.revision
        )
        return TokenPair(access, token, refreshed.expire_time)
