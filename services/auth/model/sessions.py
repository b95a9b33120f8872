"""Login sessions, and what their tokens are worth."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from services.auth.model.accounts import User

MOST_DOUBLINGS = 30
# Rotations of one login session that a token in its grace is led past; nobody who means well refreshes that often.
MOST_REPLAYED = 100
_NETWORK_BITS = 64
_MEMORY_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class NewSession:
    """A login session to be opened. `refresh_digest` is the SHA-256 of its first refresh token."""

    session_id: str
    user_id: str
    refresh_digest: bytes
    device_name: str
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Successor:
    """The refresh token that shall take the presented one's place: the SHA-256 of it, and the token sealed for whoever has the
    presented one."""

    row_id: str
    digest: bytes
    sealed: bytes
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class RefreshState:
    """Where a refresh token stands. `rotated_at` is None for one that was not used yet."""

    expires_at: datetime
    rotated_at: datetime | None
    revoked: bool
    disabled: bool


class Verdict(Enum):
    """What comes of presenting a refresh token."""

    ROTATED = "rotated"
    REPLAYED = "replayed"
    EXPIRED = "expired"
    REUSED = "reused"
    REVOKED = "revoked"
    DISABLED = "disabled"


def judge(state: RefreshState, now: datetime, grace: timedelta) -> Verdict:
    """What a refresh token is worth (OAuth 2.0 Security BCP, RFC 9700 §4.14.2, with a grace for lost answers)."""
    if state.revoked:
        # Disabling ends login sessions, and then is what their owner has to be told.
        return Verdict.DISABLED if state.disabled else Verdict.REVOKED
    in_grace = state.rotated_at is not None and now < state.rotated_at + grace
    if not in_grace and now >= state.expires_at:
        return Verdict.EXPIRED
    if state.rotated_at is not None and not in_grace:
        return Verdict.REUSED
    if state.disabled:
        return Verdict.DISABLED
    return Verdict.REPLAYED if in_grace else Verdict.ROTATED


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of a presented refresh token. `sealed` leads to the living token of its session: the first is sealed for who has
    the presented one, each further one for who has the one before; `expire_time` is the living one's. Both are only set by the
    verdicts ROTATED and REPLAYED. `revision` is the person's last revocation, 0 without one."""

    verdict: Verdict
    session_id: str
    user: User
    sealed: tuple[bytes, ...] = ()
    expire_time: datetime | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed access token and when it stops being accepted."""

    text: str = field(repr=False)
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login session holds."""

    access: AccessToken
    refresh_token: str = field(repr=False)
    refresh_expire_time: datetime


@dataclass(frozen=True, slots=True)
class LoginSession:
    """A login session that has not ended. `last_use_time` is that of the last refresh, or of the login."""

    session_id: str
    device_name: str
    create_time: datetime
    last_use_time: datetime
    expire_time: datetime


def counted_address(address: str) -> str:
    """What failed logins from an address are counted by: for IPv6 its /64, which is what one customer gets (RFC 6177); else itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _NETWORK_BITS), strict=False))


@dataclass(frozen=True, slots=True)
class DelayRule:
    """How long logins are delayed: not at all before `free` failures, then 1 s, doubled by each further one up to `longest` seconds.
    With `free` 0 there is no delay."""

    free: int
    longest: float

    def delay(self, failures: int) -> float:
        """Seconds after that many failures in a row."""
        if not 0 < self.free <= failures:
            return 0.0
        return min(self.longest, 2.0 ** min(failures - self.free, MOST_DOUBLINGS))

    @property
    def memory(self) -> float:
        """Seconds after the last failure for which failures count."""
        return max(_MEMORY_SECONDS, 2 * self.longest)
