"""Keys that access tokens are signed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class KeyState(Enum):
    """A signing key is published as `next`, signs as `active`, and is still published as `retired` while its tokens live."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key as it is stored. `sealed_private` is encrypted with a key of the deployment; `public_pem` is not."""

    kid: str
    state: KeyState
    sealed_private: bytes = field(repr=False)
    public_pem: str


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a signing key beside its halves."""

    kid: str
    state: KeyState
    publish_time: datetime
    activate_time: datetime | None = None
    retire_time: datetime | None = None

    @property
    def since(self) -> datetime:
        """When it came into its state."""
        times = {KeyState.ACTIVE: self.activate_time, KeyState.RETIRED: self.retire_time}
        return times.get(self.state) or self.publish_time


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did, by key ids: `active` signs from now on, `following` is published for the next time.

    `retired` is believed while its tokens live, those that were `dropped` no longer. `following` is empty when a leak left no key
    to publish; the next rotation makes up for that.
    """

    active: str
    following: str
    retired: str = ""
    dropped: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class NotYet:
    """A rotation has to wait this many seconds: not every process may know the next key."""

    seconds: float


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An RSA public key (RFC 7518 §6.3): modulus and exponent, base64url without padding."""

    kid: str
    n: str
    e: str

    def as_jwk(self) -> dict[str, str]:
        """The key as RFC 7517 writes it."""
        return {"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256", "n": self.n, "e": self.e}
