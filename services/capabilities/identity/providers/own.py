"""Access tokens that Auth has signed (RFC 9068)."""

from __future__ import annotations

from services.capabilities.identity.errors import TokenInvalid
from services.capabilities.identity.model import (
    CALLER_KINDS,
    OWN_TYPE,
    REVISION_CLAIM,
    Proof,
    UnverifiedToken,
)
from services.capabilities.identity.ports import KeySource
from services.capabilities.identity.signatures import Signatures
from services.kernel.principal import Principal

_MAXIMUM_KID = 128


class OwnTokens:
    """Verifies RS256 tokens with the keys of Auth."""

    def __init__(self, keys: KeySource, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._audience = audience
        self._signatures = Signatures(("RS256",))
        self.issuer = issuer

    @property
    def algorithms(self) -> frozenset[str]:
        """RS256 alone."""
        return self._signatures.algorithms

    def vouches(self, proof: Proof) -> bool:
        """See `TokenVerifier`."""
        return self._keys.known(proof.key_id) == proof.key

    async def verify(self, token: UnverifiedToken, now: float) -> Proof:
        """See `TokenVerifier`."""
        kid, type_ = token.header.get("kid"), token.header.get("typ")
        if not isinstance(kid, str) or not 0 < len(kid) <= _MAXIMUM_KID:
            raise TokenInvalid
        if type_ != OWN_TYPE or token.algorithm not in self.algorithms:
            raise TokenInvalid
        key = await self._keys.find(kid)
        if key is None:
            raise TokenInvalid
        self._signatures.check(token, key)
        token.check_audience(self._audience)
        issued, expires = token.lifetime(now)
        kind = CALLER_KINDS.get(token.text("role"))
        if kind is None:
            raise TokenInvalid
        principal = Principal(
            kind, user_id=token.uuid("sub"), session_id=token.uuid("sid"), expire_time=expires
        )
        return Proof(principal, issued, _revision(token), kid, key)


def _revision(token: UnverifiedToken) -> int:
    # Tokens of an Auth that kept no list of revocations have none.
    value = token.payload.get(REVISION_CLAIM, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TokenInvalid
    return value
