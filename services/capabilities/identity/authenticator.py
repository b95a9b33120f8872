"""From a call's metadata to its principal; remembers the tokens that it has verified."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from services.capabilities.identity.errors import ApiKeyInvalid, TokenInvalid, TokenRevoked
from services.capabilities.identity.model import Proof
from services.capabilities.identity.ports import Revocations, TokenVerifier
from services.capabilities.identity.reading import MAXIMUM_CHARACTERS, read
from services.kernel.principal import Kind, Principal

API_KEY_PREFIX = "ak_"
MAXIMUM_REMEMBERED = 10_000

# A key that was withdrawn matters after that time at the latest, also to tokens that were seen before.
_REMEMBER_SECONDS = 300.0
_SCHEME_CHARACTERS = 16


class NothingRevoked:
    """Revocations of a deployment that keeps no list of them: tokens are good until they expire."""

    def is_revoked(self, proof: Proof) -> bool:
        """See `Revocations`: never."""
        return False


class TokenAuthenticator:
    """The kernel's Authenticator, over one verifier per issuer."""

    def __init__(
        self,
        verifiers: Sequence[TokenVerifier],
        *,
        revocations: Revocations | None = None,
        remembered: int = MAXIMUM_REMEMBERED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`verifiers` that name an issuer believe its tokens and no others do; the rest are tried in their order."""
        self._named: dict[str, list[TokenVerifier]] = {}
        for verifier in verifiers:
            if verifier.issuer:
                self._named.setdefault(verifier.issuer, []).append(verifier)
        self._unnamed = [verifier for verifier in verifiers if not verifier.issuer]
        self._revocations = revocations or NothingRevoked()
        self._remembered = remembered
        self._clock = clock
        # By digest, so that memory holds no token that could be used.
        self._proofs: OrderedDict[bytes, tuple[float, Proof]] = OrderedDict()

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal | None:
        """See `services.kernel.authentication.Authenticator`."""
        authorization = metadata.get("authorization")
        if authorization is None or "x-api-key" in metadata:
            self._without_token(metadata)
            return None
        if len(authorization) > MAXIMUM_CHARACTERS + _SCHEME_CHARACTERS:
            raise TokenInvalid
        digest = hashlib.sha256(authorization.encode(errors="surrogateescape")).digest()
        now = self._clock()
        found = self._proofs.get(digest)
        if found is not None and now < found[0]:
            self._proofs.move_to_end(digest)
            proof = found[1]
        else:
            self._proofs.pop(digest, None)
            proof = await self.verify(authorization, now)
            self._remember(digest, proof, now)
        if self._revocations.is_revoked(proof):
            raise TokenRevoked
        on_behalf_of = metadata.get("x-on-behalf-of")
        return proof.principal if on_behalf_of is None else _on_behalf(proof.principal, on_behalf_of)

    async def verify(self, authorization: str, now: float) -> Proof:
        """What an `authorization` value proves at `now`, without looking at what is remembered. Raises as `authenticate` does."""
        scheme, _, credential = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise TokenInvalid
        credential = credential.strip()
        if credential.startswith(API_KEY_PREFIX):
            raise ApiKeyInvalid
        token = read(credential)
        candidates = self._named.get(token.issuer)
        if candidates is None:
            candidates = self._unnamed
        fitting = [verifier for verifier in candidates if token.algorithm in verifier.algorithms]
        for verifier in fitting[:-1]:
            try:
                return await verifier.verify(token, now)
            except TokenInvalid:
                continue
        if not fitting:
            raise TokenInvalid
        return await fitting[-1].verify(token, now)

    def _remember(self, digest: bytes, proof: Proof, now: float) -> None:
        self._proofs[digest] = (min(proof.principal.expire_time, now + _REMEMBER_SECONDS), proof)
        while len(self._proofs) > self._remembered:
            self._proofs.popitem(last=False)

    def _without_token(self, metadata: Mapping[str, str]) -> None:
        api_key = metadata.get("x-api-key")
        if api_key is not None and "authorization" not in metadata:
            raise ApiKeyInvalid
        # Two credentials leave open whose call it is, and only a service may name somebody else.
        if api_key is not None or "x-on-behalf-of" in metadata:
            raise TokenInvalid


def _on_behalf(principal: Principal, user_id: str) -> Principal:
    if principal.kind is not Kind.SERVICE:
        raise TokenInvalid
    try:
        return dataclasses.replace(principal, user_id=str(uuid.UUID(user_id)))
    except ValueError:
        raise TokenInvalid from None
