"""From a call's metadata to its principal; remembers the tokens that it has verified."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from services.capabilities.identity.api_keys import PREFIX, KnownApiKeys, NoApiKeys
from services.capabilities.identity.errors import TokenInvalid, TokenRevoked
from services.capabilities.identity.model import Proof
from services.capabilities.identity.ports import ApiKeyVerifier, Revocations, TokenVerifier
from services.capabilities.identity.reading import MAXIMUM_CHARACTERS, read
from services.kernel.principal import Kind, Principal

MAXIMUM_REMEMBERED = 10_000

_SCHEME_CHARACTERS = 16


class NothingRevoked:
    """Revocations of a deployment that keeps no list of them: tokens are good until they expire."""

    position = 0

    def is_revoked(self, proof: Proof) -> bool:
        """See `Revocations`: never."""
        return False


class _Remembered:
    """A proof, who verified it, and until when that is believed without a second look, in Unix seconds."""

    __slots__ = ("believed_until", "proof", "verifier")

    def __init__(self, proof: Proof, verifier: TokenVerifier, now: float) -> None:
        self.proof = proof
        self.verifier = verifier
        self.believe(now)

    def believe(self, now: float) -> None:
        """It was good at `now`."""
        self.believed_until = min(self.proof.principal.expire_time, now + self.verifier.believed_seconds)


class TokenAuthenticator:
    """The kernel's Authenticator and the ports' CredentialVerifier, over one verifier per issuer and one for API keys."""

    def __init__(
        self,
        verifiers: Sequence[TokenVerifier],
        *,
        api_keys: ApiKeyVerifier | None = None,
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
        self._api_keys = KnownApiKeys(
            api_keys or NoApiKeys(), self._revocations, remembered=remembered, clock=clock
        )
        self._remembered = remembered
        self._clock = clock
        # By digest, so that memory holds no token that could be used.
        self._proofs: OrderedDict[bytes, _Remembered] = OrderedDict()

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal | None:
        """See `services.kernel.authentication.Authenticator`."""
        authorization = metadata.get("authorization")
        if authorization is None or "x-api-key" in metadata:
            return await self._without_authorization(metadata)
        if len(authorization) > MAXIMUM_CHARACTERS + _SCHEME_CHARACTERS:
            raise TokenInvalid
        digest = hashlib.sha256(authorization.encode(errors="surrogateescape")).digest()
        now = self._clock()
        found = self._proofs.get(digest)
        if found is not None and (now < found.believed_until or await self._vouched(found, now)):
            # While its key was looked up, others may have pushed it out.
            self._remember(digest, found)
            proof = found.proof
        else:
            self._proofs.pop(digest, None)
            credential = _bearer(authorization)
            if credential.startswith(PREFIX):
                return _caller((await self._api_keys.proof(credential)).principal, metadata)
            proof, verifier = await self._token(credential, now)
            self._remember(digest, _Remembered(proof, verifier, now))
        if self._revocations.is_revoked(proof):
            raise TokenRevoked
        on_behalf_of = metadata.get("x-on-behalf-of")
        return proof.principal if on_behalf_of is None else _on_behalf(proof.principal, on_behalf_of)

    async def verify(self, credential: str) -> Principal:
        """See `ports.CredentialVerifier`."""
        if credential.startswith(PREFIX):
            return (await self._api_keys.fresh(credential)).principal
        proof, _ = await self._token(credential, self._clock())
        if self._revocations.is_revoked(proof):
            raise TokenRevoked
        return proof.principal

    async def aclose(self) -> None:
        """End what is under way."""
        await self._api_keys.aclose()

    async def _vouched(self, remembered: _Remembered, now: float) -> bool:
        proof = remembered.proof
        if now >= proof.principal.expire_time or not await remembered.verifier.vouches(proof):
            return False
        remembered.believe(now)
        return True

    async def _token(self, credential: str, now: float) -> tuple[Proof, TokenVerifier]:
        token = read(credential)
        candidates = self._named.get(token.issuer)
        if candidates is None:
            candidates = self._unnamed
        fitting = [verifier for verifier in candidates if token.algorithm in verifier.algorithms]
        for verifier in fitting[:-1]:
            try:
                return await verifier.verify(token, now), verifier
            except TokenInvalid:
                continue
        if not fitting:
            raise TokenInvalid
        return await fitting[-1].verify(token, now), fitting[-1]

    def _remember(self, digest: bytes, remembered: _Remembered) -> None:
        self._proofs[digest] = remembered
        self._proofs.move_to_end(digest)
        while len(self._proofs) > self._remembered:
            self._proofs.popitem(last=False)

    async def _without_authorization(self, metadata: Mapping[str, str]) -> Principal | None:
        api_key = metadata.get("x-api-key")
        if api_key is None and "x-on-behalf-of" not in metadata:
            return None
        # Two credentials leave open whose call it is, and only a service may name somebody else.
        if api_key is None or "authorization" in metadata:
            raise TokenInvalid
        return _caller((await self._api_keys.proof(api_key)).principal, metadata)


def _bearer(authorization: str) -> str:
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise TokenInvalid
    return credential.strip()


def _caller(principal: Principal, metadata: Mapping[str, str]) -> Principal:
    on_behalf_of = metadata.get("x-on-behalf-of")
    return principal if on_behalf_of is None else _on_behalf(principal, on_behalf_of)


def _on_behalf(principal: Principal, user_id: str) -> Principal:
    if principal.kind is not Kind.SERVICE:
        raise TokenInvalid
    try:
        return dataclasses.replace(principal, user_id=str(uuid.UUID(user_id)))
    except ValueError:
        raise TokenInvalid from None
