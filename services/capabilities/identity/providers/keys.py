"""Where public keys come from: Auth in this process or by RPC, a foreign issuer's address, all behind one cache."""

from __future__ import annotations

import asyncio
import json
import logging
import math
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

    from services.capabilities.identity.providers.service import ServiceTokens

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
    """A `KeySource` over something that fetches a whole key set (RFC 7517 §5), and a HealthCheck. `source` says whose, in words.

    The set is fetched again once it is `refresh_seconds` old, beside the calls that go on with the old one; calls wait for that
    once it is `stale_seconds` old, unless the last attempt failed. An unknown id has it fetched at most every `retry_seconds`. A
    failed attempt is repeated after `failure_seconds`. A set that could not be fetched again for `allowance` seconds (no less than it
    takes to fetch it again) is believed no more: a key may have been withdrawn. What is left out is as Auth's own keys need it: see
    `propagation`.
    """

    name = "published keys"

    def __init__(
        self,
        fetch: FetchKeys,
        *,
        source: str,
        allowance: float,
        refresh_seconds: float = REFRESH_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        fetch_seconds: float = FETCH_SECONDS,
        failure_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._source = source
        self._allowance = max(allowance, stale_seconds, fetch_seconds)
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
        self.failures = 0
        """How many fetches have failed."""

    @property
    def age(self) -> float:
        """How many seconds ago the fetch began that brought the set; infinite before there is one."""
        return self._clock() - self._fetched_at

    def known(self, kid: str) -> PublicKeyTypes | None:
        """See `KeySource`."""
        key = self._keys.get(kid)
        if key is None:
            return None
        age = self._clock() - self._fetched_at
        if age < self._refresh_seconds:
            return key
        self._begin(self._failure_seconds)
        return key if age < (self._allowance if self._failed else self._stale_seconds) else None

    async def find(self, kid: str) -> PublicKeyTypes | None:
        """See `KeySource`."""
        key = self.known(kid)
        if key is not None:
            return key
        fetching = self._begin(self._failure_seconds if kid in self._keys else self._retry_seconds)
        if fetching is not None:
            # Whoever asked first may be cancelled; the others wait for the same answer.
            await asyncio.shield(fetching)
        key = self._keys.get(kid)
        if self._failed and (key is None or self.age >= self._allowance):
            raise KeysUnavailable
        return key

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`. Has a set that is due fetched again, so that it is no older than that when the first
        call comes after a pause. The text stays the same while the state does."""
        if self.age >= self._refresh_seconds:
            fetching = self._begin(self._failure_seconds)
            if fetching is not None:
                await asyncio.shield(fetching)
        age = self.age
        if not self._failed or age < self._stale_seconds:
            return None
        wrong = f"the keys of access tokens can't be fetched from {self._source}"
        if age < self._allowance:
            return f"{wrong}: the tokens are refused after {self._allowance:g} s of it"
        if math.isinf(age):
            return f"{wrong} yet: the tokens are refused"
        return f"{wrong}, for more than {self._allowance:g} s: the tokens are refused"

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
        self._fetching = asyncio.create_task(self._refresh(now), name=f"keys of {self._source}")
        return self._fetching

    async def _refresh(self, begun: float) -> None:
        try:
            async with asyncio.timeout(self._fetch_seconds):
                keys = parse_keys(await self._fetch())
        except Exception as error:
            # Whatever it was, keys that are known stay good for a while and the next attempt is near.
            if not self._failed:
                _log.warning("The keys of %s can't be fetched: %s", self._source, _why(error))
            self._failed = True
            self.failures += 1
            self._attempt_at = self._clock()
            return
        if self._failed:
            _log.warning("The keys of %s can be fetched again", self._source)
        self._keys = keys
        self._failed = False
        self._fetched_at = begun


def _why(error: Exception) -> str:
    # What gRPC says of its own failures has several lines, of which two words matter.
    details = getattr(error, "details", None)
    return (str(details()) if callable(details) else str(error)) or type(error).__name__


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


def keys_by_rpc(
    stub: auth_pb2_grpc.AuthServiceAsyncStub, tokens: ServiceTokens, *, allowance: float
) -> CachedKeys:
    """The keys of Auth in another process, by ListSigningKeys: others can't use up what this process may ask. For `allowance` see
    `CachedKeys`."""
    import grpc
    from antiphon.auth.v1 import auth_pb2

    from services.capabilities.identity.providers.refused import Refusals

    refusals = Refusals()

    async def fetch() -> Sequence[Jwk]:
        try:
            response = await stub.ListSigningKeys(
                auth_pb2.ListSigningKeysRequest(), metadata=tokens.metadata(), timeout=FETCH_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            refusals.look_at(error)
            raise KeysUnavailable from error
        return [
            {"kty": key.kty, "kid": key.kid, "use": key.use, "alg": key.alg, "n": key.n, "e": key.e}
            for key in response.keys
        ]

    return CachedKeys(fetch, source="Auth", allowance=allowance)


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
        source=address,
        # What they revoke, they don't tell us either; that they can't be reached is no reason to turn their people away.
        allowance=math.inf,
        refresh_seconds=_FOREIGN_REFRESH_SECONDS,
        stale_seconds=_FOREIGN_STALE_SECONDS,
        retry_seconds=_FOREIGN_RETRY_SECONDS,
        fetch_seconds=_FOREIGN_FETCH_SECONDS,
    )
