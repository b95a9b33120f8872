"""What Auth needs for signing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from services.auth.model.signing_keys import KeyRecord, KeyState, NotYet, PublicKey, Rotation, SealedKey
from services.kernel.health import HealthCheck


class SigningKeys(Protocol):
    """The signing keys, private halves sealed. Every method raises Unavailable while the store can't be reached."""

    async def all(self) -> Sequence[SealedKey]:
        """Every key, the active one first, as they are together at one moment."""
        ...

    async def states(self) -> Mapping[str, KeyState]:
        """The state of every key by its id: what a look for changes costs."""
        ...

    async def records(self) -> Sequence[KeyRecord]:
        """What happened to every key: the next one, the active one, then the retired ones, the latest first."""
        ...

    async def add_first(self, active: SealedKey, following: SealedKey) -> None:
        """Store the first two keys, both or none: nothing happens when there is an active one, made by another process maybe."""
        ...

    async def rotate(
        self, following: SealedKey, minimum_age: timedelta, *, leaked: bool = False
    ) -> Rotation | NotYet:
        """Retire the active key, make the next one active and `following` the next one: all at once or nothing, and written down.

        NotYet, and nothing is changed, when the next key was published less than `minimum_age` ago. When there is no next key,
        `following` becomes it and the answer is NotYet, too. With `leaked` the active key and the retired ones are dropped instead,
        without regard to the age of the next one; when that is missing, `following` signs at once.
        """
        ...

    async def prune(self, token_life: timedelta) -> int:
        """Forget keys that were retired so long ago that no token of theirs lives, and tell how many; 0 when none is left."""
        ...


class SigningKeyMaker(Protocol):
    """Makes signing keys, sealed for this deployment."""

    async def make(self, state: KeyState) -> SealedKey:
        """A new key; takes about a tenth of a second of a core, beside the event loop."""
        ...

    async def check(self, key: SealedKey) -> None:
        """Raise StartupError for a key that was sealed with another deployment's secret."""
        ...


class PublicKeys(Protocol):
    """What access tokens are checked with."""

    async def published(self) -> Sequence[PublicKey]:
        """Keys that sign, signed, or will sign: all that were stored at most a second ago. Raises Unavailable when that can't be told."""
        ...


class KeyRing(PublicKeys, HealthCheck, Protocol):
    """The signing keys of the deployment, ready for use."""

    async def signing_key(self) -> tuple[str, object]:
        """The active key: its id and its private half. Raises Unavailable when there is none."""
        ...
