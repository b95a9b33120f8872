"""A batch: what is good is stored, what is bad is answered by its index and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from antiphon.usage.v1 import usage_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.mapping.events import recorded_to_proto, rejected_to_proto, submitted
from services.analytics.sink import LocalSink
from services.analytics.usecases.record_events import Recorded, RecordEvents
from services.analytics.usecases.rejected_events import ListRejectedEvents
from services.capabilities.metering.ports import Delivered
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.paging import PageRequest, PageTokens
from tests.fakes.analytics_memory import MemoryUsageStore
from tests.fakes.analytics_stage import NOW, SetClock, Stage, message


@dataclass
class Desk(Stage):
    """A stage where batches come in."""

    noted: list[Recorded] = field(default_factory=list)
    theirs: set[str] = field(default_factory=set)

    @property
    def use(self) -> RecordEvents:
        return RecordEvents(self.usage, self.clock, timedelta(days=90), self.noted.append, self.theirs.update)

    async def record(self, *events: usage_pb2.UsageEvent, source: str = "chat") -> Recorded:
        return await self.use(source, submitted(events), lambda index: events[index].SerializeToString())


def bad() -> usage_pb2.UsageEvent:
    return message(operation="", quantities=[usage_pb2.Quantity(unit=usage_pb2.UNIT_IMAGES, amount=-1)])


async def test_good_events_are_stored_and_bad_ones_are_answered_by_their_index() -> None:
    desk = Desk()
    events = [message(), bad(), message(), message(service_type=99), message()]
    recorded = await desk.record(*events)
    assert (recorded.accepted, recorded.known) == (3, 0)
    assert [one.index for one in recorded.rejected] == [1, 3]
    assert sorted(desk.usage.kept) == sorted(events[place].event_id for place in (0, 2, 4))
    answer = recorded_to_proto(recorded)
    assert [one.event_id for one in answer.rejected] == [events[1].event_id, events[3].event_id]
    assert [each.field for each in answer.rejected[0].violations] == ["operation", "quantities[0].amount"]


async def test_bad_events_are_kept_as_they_came_with_what_is_wrong() -> None:
    desk = Desk()
    event = bad()
    await desk.record(message(), event, source="speech")
    (kept,) = (await desk.usage.rejected(PageRequest())).items
    told = rejected_to_proto(kept)
    assert (told.event, told.source, told.receive_count) == (event, "speech", 1)
    assert told.receive_time.ToDatetime() == NOW.replace(tzinfo=None)
    assert [each.field for each in told.violations] == ["operation", "quantities[0].amount"]


async def test_a_batch_that_comes_again_counts_once() -> None:
    desk = Desk()
    batch = [message(), bad(), message()]
    await desk.record(*batch)
    again = await desk.record(*batch)
    assert (again.accepted, again.known, len(again.rejected)) == (0, 2, 1)
    assert len(desk.usage.kept) == 2
    (kept,) = (await desk.usage.rejected(PageRequest())).items
    assert kept.receive_count == 2


async def test_an_event_that_stands_twice_in_a_batch_is_known_the_second_time() -> None:
    event = message()
    upper = message(event_id=event.event_id.upper())
    recorded = await Desk().record(event, event, upper)
    assert (recorded.accepted, recorded.known) == (1, 2)


async def test_a_batch_of_bad_events_stores_none() -> None:
    desk = Desk()
    recorded = await desk.record(bad(), bad())
    assert (recorded.accepted, recorded.known, len(recorded.rejected)) == (0, 0, 2)
    assert desk.usage.records == 0


async def test_what_became_of_a_batch_is_noted() -> None:
    desk = Desk()
    recorded = await desk.record(message(), bad())
    assert desk.noted == [recorded]


async def test_a_store_that_is_away_is_told_and_the_batch_may_come_again() -> None:
    desk = Desk()
    batch = [message(), bad()]
    desk.usage.away = True
    with pytest.raises(Unavailable):
        await desk.record(*batch)
    assert desk.noted == []
    desk.usage.away = False
    assert (await desk.record(*batch)).accepted == 1


class KeepsNoBad(MemoryUsageStore):
    """Goes away between the good events and the bad ones."""

    async def reject(self, items: Sequence[object]) -> None:
        raise Unavailable("the store has gone away")


async def test_a_batch_that_was_stored_in_part_may_come_again() -> None:
    desk = Desk(usage=KeepsNoBad())
    batch = [message(), bad()]
    with pytest.raises(Unavailable):
        await desk.record(*batch)
    desk.usage = MemoryUsageStore(kept=desk.usage.kept, counted=desk.usage.counted)
    recorded = await desk.record(*batch)
    assert (recorded.accepted, recorded.known, len(recorded.rejected)) == (0, 1, 1)
    assert await desk.usage.rejected_count() == 1


async def test_ten_thousand_events_hold_nobody_up() -> None:
    desk = Desk()
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(somebody_else())
    one = message()
    recorded = await desk.record(*[one] * 10_000)
    other.cancel()
    assert (recorded.accepted, recorded.known) == (1, 9999)
    assert turns >= 10


@settings(max_examples=25)
@given(st.lists(st.booleans(), min_size=1, max_size=30))
async def test_every_event_of_a_batch_is_new_known_or_bad(good: list[bool]) -> None:
    desk = Desk()
    recorded = await desk.record(*(message() if one else bad() for one in good))
    assert recorded.accepted == sum(good)
    assert [one.index for one in recorded.rejected] == [place for place, one in enumerate(good) if not one]


async def test_services_of_the_same_process_deliver_serialized_events() -> None:
    desk = Desk()
    sink = LocalSink(desk.use, "chat")
    payloads = [one.SerializeToString() for one in (message(), bad())]
    assert await sink.record(payloads) == Delivered(1, 0, 1)
    (kept,) = (await desk.usage.rejected(PageRequest())).items
    assert (kept.source, kept.payload) == ("chat", payloads[1])
    with pytest.raises(InvalidArgument):
        await sink.record([b"\xff\xff"])


async def test_bad_events_are_listed_by_pages_newest_first() -> None:
    desk = Desk(clock=SetClock())
    for _ in range(5):
        await desk.record(bad())
    listing = ListRejectedEvents(desk.usage, PageTokens(b"k" * 32))
    found, token = [], ""
    for _ in range(3):
        page, token = await listing(2, token, 0)
        found += [one.rejected_event_id for one in page.items]
    assert token == ""
    assert len(found) == 5
    assert found == sorted(found, reverse=True)
    with pytest.raises(InvalidArgument):
        await listing(2, "nonsense", 0)
