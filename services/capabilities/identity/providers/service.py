"""Tokens with which the deployment's services call one another: both sides know the deployment's secret."""

from __future__ import annotations

import time
from collections.abc import Callable

import jwt

from services.capabilities.identity.errors import TokenInvalid
from services.capabilities.identity.model import SERVICE_ISSUER, SERVICE_TYPE, Proof, UnverifiedToken
from services.capabilities.identity.signatures import Signatures
from services.kernel.principal import Kind, Principal
from services.kernel.secret import DeploymentSecret

LIFE_SECONDS = 60
_REUSE_SECONDS = 30
_PURPOSE = "identity.service-tokens"
_AUDIENCE = "antiphon"


class ServiceTokens:
    """Mints the tokens of one service."""

    def __init__(
        self, secret: DeploymentSecret, service: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        if not service:
            raise ValueError("a service has a name")
        self._key = secret.derive(_PURPOSE)
        self._service = service
        self._clock = clock
        self._token = ""
        self._made_at = float("-inf")

    def token(self) -> str:
        """A token that is good for at least 30 s more. It is used again meanwhile, so that the other side knows it already."""
        now = self._clock()
        if not 0 <= now - self._made_at < _REUSE_SECONDS:
            claims = {
                "iss": SERVICE_ISSUER,
                "aud": _AUDIENCE,
                "sub": self._service,
                "iat": int(now),
                "exp": int(now) + LIFE_SECONDS,
            }
            self._token = jwt.encode(claims, self._key, algorithm="HS256", headers={"typ": SERVICE_TYPE})
            self._made_at = now
        return self._token

    def metadata(self, on_behalf_of: str = "") -> tuple[tuple[str, str], ...]:
        """The metadata of a call, made for the person `on_behalf_of` if that is not empty."""
        own = (("authorization", f"Bearer {self.token()}"),)
        return (*own, ("x-on-behalf-of", on_behalf_of)) if on_behalf_of else own


class ServiceTokenVerifier:
    """Believes what `ServiceTokens` with the same secret minted."""

    issuer = SERVICE_ISSUER

    def __init__(self, secret: DeploymentSecret) -> None:
        self._signatures = Signatures(("HS256",))
        self._key = self._signatures.prepare(secret.derive(_PURPOSE))

    @property
    def algorithms(self) -> frozenset[str]:
        """HS256 alone."""
        return self._signatures.algorithms

    def vouches(self, proof: Proof) -> bool:
        """See `TokenVerifier`: the secret stays."""
        return True

    async def verify(self, token: UnverifiedToken, now: float) -> Proof:
        """See `TokenVerifier`."""
        if token.header.get("typ") != SERVICE_TYPE:
            raise TokenInvalid
        self._signatures.check(token, self._key)
        token.check_audience(_AUDIENCE)
        issued, expires = token.lifetime(now)
        return Proof(Principal(Kind.SERVICE, service=token.text("sub"), expire_time=expires), issued)
