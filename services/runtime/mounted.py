"""What a service hands to the runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.kernel.health import HealthCheck
from services.kernel.limits import RateLimits
from services.kernel.metering import CallMeter


async def _nothing_to_drain(grace: float) -> None:
    return None


async def _nothing_to_reload() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Mounted:
    """A service that runs: its servicers by full name (`antiphon.chat.v1.ChatService`), and what its readiness depends on.

    `limits` are those that its RPCs' policies name; None: no call of it is limited. `meter` is
    told of metered calls that made nothing; None: nobody is. `drain` is awaited when the process stops, after
    new calls are refused: it lets work in progress end within `grace` seconds, and brings the rest to a recorded state.
    `reload` is awaited when the operator asks for it (SIGHUP): it reads again what may change while the service runs, and logs what came
    of it.
    """

    name: str
    servicers: Mapping[str, object]
    checks: Sequence[HealthCheck] = field(default_factory=tuple)
    drain: Callable[[float], Awaitable[None]] = _nothing_to_drain
    reload: Callable[[], Awaitable[None]] = _nothing_to_reload
    limits: RateLimits | None = None
    meter: CallMeter | None = None
