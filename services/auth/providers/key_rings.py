"""The keys that sign: from the database, where replicas share them, or from a file that the operator keeps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from services.auth.model import KeyState, PublicKey
from services.auth.ports import SigningKeys
from services.auth.providers import keys
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError

_log = logging.getLogger(__name__)

_FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Loaded:
    kid: str
    private: RSAPrivateKey = field(repr=False)
    published: Sequence[PublicKey]


class StoredKeyRing:
    """`ports.KeyRing` over `ports.SigningKeys`. Looks for rotated keys once a minute, when it is used."""

    name = "signing keys"

    def __init__(
        self, store: SigningKeys, sealing_key: bytes, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._sealing_key = sealing_key
        self._clock = clock
        self._loaded: _Loaded | None = None
        self._stale_at = float("-inf")
        self._loading = asyncio.Lock()

    async def start(self) -> None:
        """Load the keys, and make the first ones where there are none. Raises StartupError."""
        loaded = await self._load()
        if loaded is None:
            active, following = await asyncio.gather(
                asyncio.to_thread(keys.generate, KeyState.ACTIVE, self._sealing_key),
                asyncio.to_thread(keys.generate, KeyState.NEXT, self._sealing_key),
            )
            await self._store.add_first(active, following)
            loaded = await self._load()
        if loaded is None:
            raise StartupError(
                "The database has signing keys and none of them is active.", "Rotate the signing keys."
            )
        self._keep(loaded)

    async def signing_key(self) -> tuple[str, object]:
        """See `ports.KeyRing`."""
        loaded = await self._current()
        return loaded.kid, loaded.private

    async def published(self) -> Sequence[PublicKey]:
        """See `ports.PublicKeys`."""
        return (await self._current()).published

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`."""
        return None if self._loaded is not None else "no active signing key was loaded"

    async def _current(self) -> _Loaded:
        if self._loaded is None or self._clock() >= self._stale_at:
            async with self._loading:
                if self._loaded is None or self._clock() >= self._stale_at:
                    await self._reload()
        if self._loaded is None:
            raise Unavailable("there is no active signing key now; try again")
        return self._loaded

    async def _reload(self) -> None:
        try:
            loaded = await self._load()
        except (Unavailable, StartupError) as error:
            # The keys that are known stay good; whether the database answers is told by its own check.
            _log.warning("The signing keys can't be read again: %s", error)
            loaded = None
        if loaded is not None:
            self._keep(loaded)
        else:
            self._stale_at = self._clock() + 1.0

    async def _load(self) -> _Loaded | None:
        stored = await self._store.all()
        active = next((key for key in stored if key.state is KeyState.ACTIVE), None)
        if active is None:
            return None
        private = await asyncio.to_thread(keys.unseal, active, self._sealing_key)
        published = [keys.describe(keys.read_public(key.public_pem)) for key in stored]
        return _Loaded(active.kid, private, published)

    def _keep(self, loaded: _Loaded) -> None:
        self._loaded = loaded
        self._stale_at = self._clock() + _FRESH_SECONDS


class FileKeyRing:
    """`ports.KeyRing` over one key from a file; the operator rotates it by starting with another."""

    name = "signing keys"

    def __init__(self, private: RSAPrivateKey) -> None:
        self._private = private
        self._public = keys.describe(private.public_key())

    async def signing_key(self) -> tuple[str, object]:
        """See `ports.KeyRing`."""
        return self._public.kid, self._private

    async def published(self) -> Sequence[PublicKey]:
        """See `ports.PublicKeys`."""
        return [self._public]

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`: a key in memory works."""
        return None
