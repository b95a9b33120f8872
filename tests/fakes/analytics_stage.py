"""Analytics' use cases on stores in memory, at a moment that the test sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from antiphon.usage.v1 import usage_pb2

from services.analytics.model.events import RecordedEvent, SubmittedEvent
from services.analytics.model.prices import BEGINNING, Price, PriceSource
from services.analytics.usecases.reckoning import Reckoning
from services.capabilities.metering.model import Unit
from services.kernel.ids import new_id
from services.kernel.principal import Kind, Principal
from tests.fakes.analytics_events import id_at, micros
from tests.fakes.analytics_memory import MemoryPriceStore, MemoryUsageStore

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
ALICE = Principal(Kind.USER, user_id="alice")
BOB = Principal(Kind.USER, user_id="bob")
ADMIN = Principal(Kind.ADMIN, user_id="root")

FOR_EVER = timedelta(days=18_000)
MOST_NANO_USD = 10**15
"""A million USD, the highest price that can be set."""


@dataclass
class SetClock:
    """A clock that stands still until the test moves it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        """On by so many seconds, hours …"""
        self.now += timedelta(**by)


@dataclass
class Stage:
    """Stores that keep everything for ever, whatever the clock of the machine says."""

    clock: SetClock = field(default_factory=SetClock)
    usage: MemoryUsageStore = field(default_factory=lambda: MemoryUsageStore(event_retention=FOR_EVER))
    prices: MemoryPriceStore = field(default_factory=MemoryPriceStore)

    @property
    def reckon(self) -> Reckoning:
        """What the reports are made with."""
        return Reckoning(self.usage, self.prices)


async def stage(events: Sequence[RecordedEvent] = (), prices: Iterable[Price] = ()) -> Stage:
    """A stage with events and prices."""
    made = Stage(prices=MemoryPriceStore(kept=list(prices)))
    await made.usage.record(events)
    return made


def a_price(
    nano_usd: int | None,
    model: str = "echo",
    unit: Unit = Unit.INPUT_TOKENS,
    variant: str = "",
    at: datetime = BEGINNING,
    source: PriceSource = PriceSource.CATALOG,
) -> Price:
    """A price from a moment on."""
    return Price(new_id(), model, unit, variant, nano_usd, at, source, NOW)


def told(**changes: Any) -> SubmittedEvent:
    """A good event as a service tells it, which ended half an hour ago. `changes` are fields of it."""
    end = changes.pop("end", NOW - timedelta(minutes=30))
    start, micro = divmod(micros(end) - 2_000_000, 1_000_000)
    good = SubmittedEvent(
        event_id=id_at(end),
        service_type=1,
        operation="StreamChat",
        status=1,
        error_reason="",
        user_id="alice",
        api_key_id="",
        session_id="",
        project="demo",
        model="echo",
        provider="echo",
        request_id="",
        start_time=(start, micro * 1000),
        latency=(2, 0),
        time_to_first_token=(0, 250_000_000),
        quantities=((1, 10), (3, 5)),
        provenance=1,
        variant="",
        refused=False,
    )
    return good._replace(**changes)


def message(**changes: Any) -> usage_pb2.UsageEvent:
    """The same as a message. `changes` are fields of it."""
    end = NOW - timedelta(minutes=30)
    made = usage_pb2.UsageEvent(
        event_id=id_at(end),
        service_type=usage_pb2.SERVICE_TYPE_LLM_CHAT,
        operation="StreamChat",
        status=usage_pb2.USAGE_STATUS_SUCCESS,
        user_id="alice",
        quantities=[usage_pb2.Quantity(unit=usage_pb2.UNIT_INPUT_TOKENS, amount=10)],
        provenance=usage_pb2.PROVENANCE_REPORTED,
    )
    made.start_time.FromDatetime(end - timedelta(seconds=2))
    made.latency.seconds = 2
    changed = usage_pb2.UsageEvent(**changes)
    for name in changes:
        made.ClearField(name)
    made.MergeFrom(changed)
    return made
