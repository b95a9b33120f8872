"""Where public keys come from: Auth in this process or by RPC, a foreign issuer's address, all behind one cache."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from services.capabilities.identity.errors import KeysUnavailable
from services.capabilities.identity.propagation import (
    FETCH_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    STALE_SECONDS,
)
from services.capabilities.identity.signatures import MINIMUM_RSA_BITS

if TYPE_CHECKING:
    from antiphon.auth.v1 import auth_pb2_grpc

_log = logging.getLogger(__name__)

Jwk = Mapping[str, Any]
FetchKeys = Callable[[], Awaitable[Sequence[Jwk]]]

# Other systems change their keys seldom, and are not to be asked at the pace of our own.
_FOREIGN_REFRESH_SECONDS = 300.0
_FOREIGN_STALE_SECONDS = 600.0
_FOREIGN_RETRY_SECONDS = 10.0
_FOREIGN_FETCH_SECONDS = 5.0
_MAXIMUM_KEYS = 100
_MAXIMUM_BYTES = 256 * 1024
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


class CachedKeys:
    """A `KeySource` over something that fetches a whole key set (RFC 7517 §5).

    The set is fetched again once it is `refresh_seconds` old, beside the calls that go on with the old one; calls wait for that
    once it is `stale_seconds` old, unless the last attempt failed. An unknown id has it fetched at most every `retry_seconds`. A
    failed attempt is repeated after `failure_seconds`. What is left out is as Auth's own keys need it: see `propagation`.
    """

    def __init__(
        self,
        fetch: FetchKeys,
        *,
        name: str,
        refresh_seconds: float = REFRESH_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        fetch_seconds: float = FETCH_SECONDS,
        failure_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._name = name
        self._refresh_seconds = refresh_seconds
        self._stale_seconds = stale_seconds
        self._retry_seconds = retry_seconds
        self._fetch_seconds = fetch_seconds
        self._failure_seconds = failure_seconds
        self._clock = clock
        self._keys: dict[str, PublicKeyTypes] = {}
        # The set is as old as the beginning of the fetch that brought it.
        self._fetched_at = self._attempt_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> PublicKeyTypes | None:
        """See `KeySource`."""
        key = self._keys.get(kid)
        if key is not None:
            age = self._clock() - self._fetched_at
            if age < self._refresh_seconds:
                return key
            fetching = self._begin(self._failure_seconds)
            if age < self._stale_seconds or self._failed:
                return key
        else:
            fetching = self._begin(self._retry_seconds)
        if fetching is not None:
            # Whoever asked first may be cancelled; the others wait for the same answer.
            await asyncio.shield(fetching)
        if self._failed and kid not in self._keys:
            raise KeysUnavailable
        return self._keys.get(kid)

    async def aclose(self) -> None:
        """Stop fetching."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _begin(self, pause: float) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one if the last began `pause` ago or earlier; else None."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock()
        if now - self._attempt_at < (self._failure_seconds if self._failed else pause):
            return None
        self._attempt_at = now
        self._fetching = asyncio.create_task(self._refresh(now), name=f"keys of {self._name}")
        return self._fetching

    async def _refresh(self, begun: float) -> None:
        try:
            async with asyncio.timeout(self._fetch_seconds):
                fetched = await self._fetch()
        except Exception as error:
            # Whatever it was, tokens that are known stay good and the next attempt is near.
            self._failed = True
            self._attempt_at = self._clock()
            _log.warning(
                "The keys of %s can't be fetched: %s", self._name, str(error) or type(error).__name__
            )
            return
        self._keys = parse_keys(fetched)
        self._failed = False
        self._fetched_at = begun


def parse_keys(jwks: Sequence[Jwk]) -> dict[str, PublicKeyTypes]:
    """Public signature keys by id. Keys without an id, for another use, or of a kind that is not known are left out."""
    keys: dict[str, PublicKeyTypes] = {}
    for jwk in jwks[:_MAXIMUM_KEYS]:
        kid = jwk.get("kid")
        if (
            not isinstance(kid, str)
            or jwk.get("use", "sig") != "sig"
            or jwk.get("kty") not in ("RSA", "EC", "OKP")
        ):
            continue
        public = {name: value for name, value in jwk.items() if name not in ("d", "p", "q", "dp", "dq", "qi")}
        try:
            key = PyJWK.from_dict(public).key
        except (PyJWTError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size < MINIMUM_RSA_BITS:
            continue
        keys[kid] = key
    return keys


def keys_by_rpc(stub: auth_pb2_grpc.AuthServiceAsyncStub) -> CachedKeys:
    """The keys of Auth in another process."""
    from antiphon.auth.v1 import auth_pb2

    async def fetch() -> Sequence[Jwk]:
        response = await stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=FETCH_SECONDS)
        return [
            {"kty": key.kty, "kid": key.kid, "use": key.use, "alg": key.alg, "n": key.n, "e": key.e}
            for key in response.keys
        ]

    return CachedKeys(fetch, name="Auth")


def keys_by_address(address: str) -> CachedKeys:
    """The key set that a foreign issuer publishes under an https address. Raises ValueError for another kind of address."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("a key set is fetched from an https address")

    async def fetch() -> Sequence[Jwk]:
        import aiohttp

        async with (
            aiohttp.ClientSession() as session,
            session.get(address, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise KeysUnavailable
            body = b""
            async for chunk in response.content.iter_chunked(65536):
                body += chunk
                if len(body) > _MAXIMUM_BYTES:
                    raise KeysUnavailable
        document = json.loads(body)
        found = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(found, list):
            raise KeysUnavailable
        return [entry for entry in found if isinstance(entry, dict)]

    return CachedKeys(
        fetch,
        name=address,
        refresh_seconds=_FOREIGN_REFRESH_SECONDS,
        stale_seconds=_FOREIGN_STALE_SECONDS,
        retry_seconds=_FOREIGN_RETRY_SECONDS,
        fetch_seconds=_FOREIGN_FETCH_SECONDS,
    )
