"""Access tokens: JWTs signed with RS256 (RFC 9068)."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import jwt

from services.auth.model.accounts import Role
from services.auth.model.sessions import AccessToken
from services.auth.ports.signing_keys import KeyRing
from services.capabilities.identity.model import OWN_TYPE, REVISION_CLAIM
from services.kernel.ids import new_id


class SignedAccessTokens:
    """`ports.AccessTokens` with the active key of a ring."""

    def __init__(
        self,
        ring: KeyRing,
        *,
        issuer: str,
        audience: str,
        lifetime: timedelta,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ring = ring
        self._issuer = issuer
        self._audience = audience
        self._lifetime = max(1, int(lifetime.total_seconds()))
        self._clock = clock

    async def sign(self, user_id: str, session_id: str, role: Role, revision: int) -> AccessToken:
        """See `ports.AccessTokens`."""
        kid, private = await self._ring.signing_key()
        issued = int(self._clock())
        expires = issued + self._lifetime
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user_id,
            "sid": session_id,
            "role": role.value,
            REVISION_CLAIM: revision,
            "iat": issued,
            "exp": expires,
            "jti": new_id(),
        }
        text = jwt.encode(
            claims, cast("Any", private), algorithm="RS256", headers={"typ": OWN_TYPE, "kid": kid}
        )
        return AccessToken(text, datetime.fromtimestamp(expires, UTC))
