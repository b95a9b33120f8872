"""Logout."""

from __future__ import annotations

from services.auth.errors import RefreshTokenInvalid
from services.auth.model.audit import Origin
from services.auth.ports.sessions import RefreshTokens, Sessions


class Logout:
    """Ends the login session of a refresh token, be it the living one or one before."""

    def __init__(self, sessions: Sessions, refresh_tokens: RefreshTokens) -> None:
        self._sessions = sessions
        self._refresh_tokens = refresh_tokens

    async def __call__(self, presented: str, origin: Origin) -> None:
        """Revoke it. A token that nobody knows, or that is no token at all, has no session to end."""
        try:
            digest = self._refresh_tokens.digest(presented)
        except RefreshTokenInvalid:
            return
        await self._sessions.revoke(digest, origin)
