"""From a call's metadata to its principal; remembers the tokens that it has verified."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from services.capabilities.identity.api_keys import KnownApiKeys
from services.capabilities.identity.errors import KeysUnavailable, TokenInvalid, TokenRevoked
from services.capabilities.identity.model import API_KEY_PREFIX, Proof
from services.capabilities.identity.ports import ApiKeyVerifier, Revocations, TokenVerifier
from services.capabilities.identity.reading import MAXIMUM_CHARACTERS, read
from services.kernel.principal import Kind, Principal

MAXIMUM_REMEMBERED = 10_000

_SCHEME_CHARACTERS = 16


class TokenAuthenticator:
    """The kernel's Authenticator and the ports' CredentialVerifier, over one verifier per issuer and one for API keys."""

    def __init__(
        self,
        verifiers: Sequence[TokenVerifier],
        *,
        api_keys: ApiKeyVerifier,
        revocations: Revocations,
        remembered: int = MAXIMUM_REMEMBERED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`verifiers` that name an issuer believe its tokens and no others do; the rest are tried in their order. `clock` is the
        wall's: it is compared with what credentials say of themselves, and nothing else is.
        """
        self._named: dict[str, list[TokenVerifier]] = {}
        for verifier in verifiers:
            if verifier.issuer:
                self._named.setdefault(verifier.issuer, []).append(verifier)
        self._unnamed = [verifier for verifier in verifiers if not verifier.issuer]
        self._revocations = revocations
        self._api_keys = KnownApiKeys(api_keys, revocations, remembered=remembered, wall_clock=clock)
        self._remembered = remembered
        self._clock = clock
        # By digest, so that memory holds no token that could be used: with the proof, who made it.
        self._proofs: OrderedDict[bytes, tuple[Proof, TokenVerifier]] = OrderedDict()

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
        if found is not None and now < found[0].principal.expire_time and found[1].vouches(found[0]):
            self._proofs.move_to_end(digest)
            proof = found[0]
        else:
            self._proofs.pop(digest, None)
            credential = _bearer(authorization)
            if credential.startswith(API_KEY_PREFIX):
                return self._caller((await self._api_keys.proof(credential)).principal, metadata)
            proof, verifier = await self._token(credential, now)
            self._remember(digest, proof, verifier)
        if self._revocations.is_revoked(proof):
            raise TokenRevoked
        return self._caller(proof.principal, metadata)

    async def verify(self, credential: str) -> Principal:
        """See `ports.CredentialVerifier`."""
        if credential.startswith(API_KEY_PREFIX):
            return (await self._api_keys.fresh(credential)).principal
        proof, _ = await self._token(credential, self._clock())
        if self._revocations.is_revoked(proof):
            raise TokenRevoked
        return proof.principal

    async def aclose(self) -> None:
        """End what is under way."""
        await self._api_keys.aclose()

    async def _token(self, credential: str, now: float) -> tuple[Proof, TokenVerifier]:
        token = read(credential)
        candidates = self._named.get(token.issuer)
        if candidates is None:
            candidates = self._unnamed
        unavailable: KeysUnavailable | None = None
        for verifier in candidates:
            if token.algorithm not in verifier.algorithms:
                continue
            try:
                return await verifier.verify(token, now), verifier
            except TokenInvalid:
                continue
            except KeysUnavailable as error:
                # It may be another one's token. If it is nobody's, this one could not be asked.
                unavailable = error
        raise unavailable or TokenInvalid

    def _remember(self, digest: bytes, proof: Proof, verifier: TokenVerifier) -> None:
        self._proofs[digest] = proof, verifier
        self._proofs.move_to_end(digest)
        while len(self._proofs) > self._remembered:
            self._proofs.popitem(last=False)

    def _caller(self, principal: Principal, metadata: Mapping[str, str]) -> Principal:
        on_behalf_of = metadata.get("x-on-behalf-of")
        if on_behalf_of is None:
            return principal
        if principal.kind is not Kind.SERVICE:
            raise TokenInvalid
        try:
            user_id = str(uuid.UUID(on_behalf_of))
        except ValueError:
            raise TokenInvalid from None
        # A service that let the person in just before the deletion would have something made that nobody removes any more.
        if self._revocations.is_deleted(user_id):
            raise TokenRevoked
        return dataclasses.replace(principal, user_id=user_id)

    async def _without_authorization(self, metadata: Mapping[str, str]) -> Principal | None:
        api_key = metadata.get("x-api-key")
        if api_key is None and "x-on-behalf-of" not in metadata:
            return None
        # Two credentials leave open whose call it is, and only a service may name somebody else.
        if api_key is None or "authorization" in metadata:
            raise TokenInvalid
        return self._caller((await self._api_keys.proof(api_key)).principal, metadata)


def _bearer(authorization: str) -> str:
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise TokenInvalid
    return credential.strip()
