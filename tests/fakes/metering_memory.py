"""An outbox in memory and a sink that does what a test wants, for tests of what is built on their ports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from services.capabilities.metering import outbox
from services.capabilities.metering.metrics import ServiceUsage, UsageMetrics
from services.capabilities.metering.model import NO_USAGE, ServiceType, UsageEvent, UsageStatus
from services.capabilities.metering.ports import Backlog, Delivered, Waiting
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.ids import new_id

LEASE_SECONDS = 5.0


@dataclass
class MemoryOutbox:
    """Keeps the promises of `Outbox`. `away` makes every call fail, as a database does that can't be reached."""

    away: bool = False
    takes: int = 0
    waiting: dict[str, tuple[bytes, str, float]] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _holder: tuple[str, float] = ("", 0.0)

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("the outbox is away", retry_after=0.0)

    async def add(self, events: Sequence[Waiting], user_ids: Sequence[str]) -> None:
        self._reach()
        for event, user_id in zip(events, user_ids, strict=True):
            self.waiting.setdefault(event.event_id, (event.payload, user_id, self.clock()))

    async def take(self, owner_id: str, limit: int, max_bytes: int) -> Sequence[Waiting]:
        self.takes += 1
        self._reach()
        holder, until = self._holder
        if holder != owner_id and until >= self.clock():
            return []
        self._holder = owner_id, self.clock() + LEASE_SECONDS
        taken: list[Waiting] = []
        size = 0
        for event_id in sorted(self.waiting.keys() - self.aside.keys())[:limit]:
            payload = self.waiting[event_id][0]
            size += len(payload)
            if taken and size > max_bytes:
                break
            taken.append(Waiting(event_id, payload))
        return taken

    async def remove(self, event_ids: Sequence[str]) -> None:
        self._reach()
        for event_id in event_ids:
            self.waiting.pop(event_id, None)
            self.aside.pop(event_id, None)

    async def set_aside(self, event_id: str, why: str) -> None:
        self._reach()
        self.aside[event_id] = why

    async def leave(self, owner_id: str) -> None:
        self._reach()
        if self._holder[0] == owner_id:
            self._holder = "", 0.0

    async def backlog(self) -> Backlog:
        self._reach()
        since = [came for event_id, (_, _, came) in self.waiting.items() if event_id not in self.aside]
        oldest = max(self.clock() - min(since), 0.0) if since else 0.0
        return Backlog(len(since), oldest, len(self.aside))

    def expire(self) -> None:
        """The lease has run out."""
        self._holder = self._holder[0], 0.0


@dataclass
class ScriptedSink:
    """Takes events, as Analytics does. A batch with one of `bad` is refused with `fault`; `fails` is raised by every call."""

    bad: set[bytes] = field(default_factory=set)
    fault: Exception = field(default_factory=lambda: InvalidArgument("one of these is bad"))
    fails: Exception | None = None
    known: set[bytes] = field(default_factory=set)
    calls: list[list[bytes]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def record(self, payloads: Sequence[bytes]) -> Delivered:
        self.calls.append(list(payloads))
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        if self.bad.intersection(payloads):
            raise self.fault
        new = set(payloads) - self.known
        self.known |= new
        return Delivered(len(new), len(payloads) - len(new), 0)


def usage_event(**changes: Any) -> UsageEvent:
    """What a call used, which has just ended."""
    values: dict[str, Any] = {
        "event_id": new_id(),
        "service_type": ServiceType.LLM_CHAT,
        "operation": "StreamChat",
        "status": UsageStatus.SUCCESS,
        "error_reason": "",
        "user_id": "ana",
        "api_key_id": "",
        "session_id": "",
        "project": "demo",
        "model": "echo",
        "provider": "echo",
        "request_id": "",
        "start_time": datetime.now(UTC),
        "latency": timedelta(seconds=1),
        "time_to_first_token": None,
        "usage": NO_USAGE,
    }
    return UsageEvent(**{**values, **changes})


def waiting(event: UsageEvent) -> Waiting:
    """The event as an outbox has it."""
    return Waiting(event.event_id, outbox.payload(event))


def some_waiting(count: int, **changes: Any) -> list[Waiting]:
    """Events as an outbox has them, in the order of their ids."""
    return [waiting(usage_event(**changes)) for _ in range(count)]


@dataclass
class Figures:
    """The metrics of a service, to be read again."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.usage = ServiceUsage("chat", UsageMetrics(self.registry))

    def __call__(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"service": "chat", **labels}) or 0.0


async def until(condition: Callable[[], object], seconds: float = 3.0) -> None:
    """Wait for a condition, and fail when it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        await asyncio.sleep(0.002)
