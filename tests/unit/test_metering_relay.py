"""The relay: what waits is delivered, whatever happens on the way, and what can't be is set aside alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.capabilities.metering.ports import Backlog, Delivered, Sink, Waiting
from services.capabilities.metering.relay import Relay
from services.kernel.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from services.kernel.ids import new_id
from tests.fakes.metering_memory import Figures, MemoryOutbox, ScriptedSink, some_waiting, until


@dataclass
class Stage:
    """An outbox, a sink, and the relay between them."""

    store: MemoryOutbox
    sink: ScriptedSink
    figures: Figures

    def relay(self, sink: Sink | None = None, *, most_events: int = 1000, most_bytes: int = 10**6) -> Relay:
        return Relay(
            self.store,
            sink or self.sink,
            self.figures.usage,
            most_events=most_events,
            most_bytes=most_bytes,
            poll_seconds=0.005,
            first_pause=0.001,
        )

    async def added(self, count: int) -> list[Waiting]:
        events = some_waiting(count)
        await self.store.add(events, ["ana"] * count)
        return events

    @asynccontextmanager
    async def running(self, *, most_bytes: int = 10**6) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.relay(most_bytes=most_bytes).run())
        try:
            yield task
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def stage() -> Stage:
    return Stage(MemoryOutbox(), ScriptedSink(), Figures())


def payloads(events: Sequence[Waiting]) -> list[bytes]:
    return [event.payload for event in events]


def away(seconds: float = 0.0) -> Unavailable:
    return Unavailable("it is away", retry_after=seconds)


async def test_what_waits_is_delivered_in_order_and_removed(stage: Stage) -> None:
    events = await stage.added(3)
    async with stage.running():
        await until(lambda: not stage.store.waiting)
        more = await stage.added(2)
        await until(lambda: not stage.store.waiting)
    assert stage.sink.calls == [payloads(events), payloads(more)]
    delivered = "antiphon_usage_delivered_events_total"
    assert stage.figures(delivered, outcome="accepted") == 5


async def test_full_batches_follow_one_another_at_once(stage: Stage) -> None:
    events = await stage.added(50)
    # Nobody polls so soon.
    relay = Relay(stage.store, stage.sink, stage.figures.usage, most_events=10, poll_seconds=60)
    task = asyncio.create_task(relay.run())
    await until(lambda: not stage.store.waiting)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [len(call) for call in stage.sink.calls] == [10] * 5
    assert [payload for call in stage.sink.calls for payload in call] == payloads(events)


async def test_batches_are_bounded_by_their_bytes(stage: Stage) -> None:
    events = await stage.added(9)
    async with stage.running(most_bytes=3 * len(events[0].payload)):
        await until(lambda: not stage.store.waiting)
    assert [len(call) for call in stage.sink.calls] == [3, 3, 3]


async def test_what_the_sink_knows_or_rejects_is_delivered_too(stage: Stage) -> None:
    events = await stage.added(2)
    stage.sink.known.add(events[0].payload)
    async with stage.running():
        await until(lambda: not stage.store.waiting)
    delivered = "antiphon_usage_delivered_events_total"
    assert (stage.figures(delivered, outcome="accepted"), stage.figures(delivered, outcome="known")) == (1, 1)


@pytest.mark.parametrize(
    "failure", [away(), DeadlineExceeded("late"), ResourceExhausted("too much", retry_after=0.0)]
)
async def test_an_outage_of_the_sink_is_waited_for_and_told_once(stage: Stage, failure: ServiceError) -> None:
    await stage.added(3)
    stage.sink.fails = failure
    with capture_logs() as logs:
        async with stage.running():
            await until(lambda: len(stage.sink.calls) > 4)
            assert len(stage.store.waiting) == 3
            stage.sink.fails = None
            await until(lambda: not stage.store.waiting)
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    assert not stage.store.aside
    assert stage.figures("antiphon_usage_delivery_failures_total", code=failure.code.name) >= 5


async def test_whoever_says_when_to_come_back_is_left_alone_until_then(stage: Stage) -> None:
    await stage.added(1)
    stage.sink.fails = away(0.15)
    loop = asyncio.get_running_loop()
    async with stage.running():
        await until(lambda: stage.sink.calls)
        first = loop.time()
        await until(lambda: len(stage.sink.calls) > 1)
    assert loop.time() - first > 0.14


async def test_an_outage_of_the_outbox_is_waited_for(stage: Stage) -> None:
    stage.store.away = True
    async with stage.running():
        await until(lambda: stage.store.takes > 3)
        stage.store.away = False
        await stage.added(1)
        await until(lambda: not stage.store.waiting)


@given(count=st.integers(1, 40), which=st.sets(st.integers(0, 39)), most=st.integers(1, 20))
def test_bad_events_are_set_aside_and_all_others_are_delivered(
    count: int, which: set[int], most: int
) -> None:
    async def check() -> None:
        stage = Stage(MemoryOutbox(), ScriptedSink(), Figures())
        events = await stage.added(count)
        bad = [event for number, event in enumerate(events) if number in which]
        stage.sink.bad.update(payloads(bad))
        with capture_logs():
            await stage.relay(most_events=most).flush(5)
        assert set(stage.store.aside) == {event.event_id for event in bad}
        assert set(stage.store.waiting) == set(stage.store.aside)
        assert stage.sink.known == set(payloads(events)) - stage.sink.bad

    asyncio.run(check())


async def test_one_bad_event_among_a_thousand_costs_few_calls(stage: Stage) -> None:
    events = await stage.added(1000)
    stage.sink.bad = {events[617].payload}
    await stage.relay().flush(5)
    assert len(stage.sink.calls) < 25
    assert list(stage.store.aside) == [events[617].event_id]
    assert "INVALID_ARGUMENT" in stage.store.aside[events[617].event_id]


async def test_a_batch_that_is_too_large_is_halved(stage: Stage) -> None:
    await stage.added(8)

    class Small(ScriptedSink):
        async def record(self, batch: Sequence[bytes]) -> Delivered:
            if len(batch) > 2:
                raise ResourceExhausted("too large", reason="MESSAGE_TOO_LARGE")
            return await super().record(batch)

    await stage.relay(Small()).flush(5)
    assert not stage.store.waiting
    assert not stage.store.aside


async def test_a_defect_of_the_sink_sets_nothing_aside(stage: Stage) -> None:
    await stage.added(100)
    stage.sink.fails = ServiceError("it failed")
    async with stage.running():
        await until(lambda: len(stage.sink.calls) > 30)
        assert not stage.store.aside
        stage.sink.fails = None
        await until(lambda: not stage.store.waiting)
    assert not stage.store.aside


async def test_a_defect_on_one_event_holds_up_no_other(stage: Stage) -> None:
    events = await stage.added(20)
    stage.sink.bad, stage.sink.fault = {events[3].payload}, ServiceError("it failed")
    async with stage.running():
        await until(lambda: len(stage.store.waiting) == 1)
        await until(lambda: stage.store.aside)
    assert list(stage.store.aside) == [events[3].event_id]


async def test_a_defect_on_the_only_event_is_tried_again(stage: Stage) -> None:
    (event,) = await stage.added(1)
    stage.sink.bad, stage.sink.fault = {event.payload}, ServiceError("it failed")
    async with stage.running():
        await until(lambda: len(stage.sink.calls) > 3)
        assert not stage.store.aside
        stage.sink.bad.clear()
        await until(lambda: not stage.store.waiting)


async def test_what_nobody_foresaw_does_not_end_the_relay(stage: Stage) -> None:
    await stage.added(1)

    class Broken(ScriptedSink):
        async def record(self, batch: Sequence[bytes]) -> Delivered:
            if len(self.calls) < 3:
                self.calls.append(list(batch))
                raise RuntimeError("a defect")
            return await super().record(batch)

    with capture_logs() as logs:
        task = asyncio.create_task(stage.relay(Broken()).run())
        await until(lambda: not stage.store.waiting)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert any("exc_info" in entry for entry in logs)


async def test_a_crash_at_any_point_loses_nothing(stage: Stage) -> None:
    for steps in range(30):
        events = await stage.added(4)
        stage.sink.bad.add(events[1].payload)
        task = asyncio.create_task(stage.relay(most_events=2).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for event in events:
            assert event.event_id in stage.store.waiting or event.payload in stage.sink.known
        stage.store.expire()
    await stage.relay().flush(5)
    assert set(stage.store.waiting) == set(stage.store.aside)
    assert len(stage.sink.known) == 30 * 3


async def test_of_two_relays_one_delivers_until_it_leaves(stage: Stage) -> None:
    first, second = stage.relay(), stage.relay()
    await stage.added(1)
    task = asyncio.create_task(first.run())
    await until(lambda: not stage.store.waiting)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await stage.added(1)
    await second.flush(1)
    assert len(stage.store.waiting) == 1
    await first.leave()
    await second.flush(1)
    assert not stage.store.waiting


async def test_a_flush_ends_when_its_time_is_over_and_leaves_what_is_left(stage: Stage) -> None:
    await stage.added(3)
    stage.sink.gate.clear()
    await stage.relay().flush(0.05)
    assert len(stage.store.waiting) == 3
    # Somebody else may go on at once.
    assert await stage.store.take(new_id(), 10, 10**6)


async def test_a_flush_does_not_wait_for_a_sink_that_is_away(stage: Stage) -> None:
    await stage.added(1)
    stage.sink.fails = away(30)
    async with asyncio.timeout(1):
        await stage.relay().flush(20)
    assert len(stage.sink.calls) == 1


async def test_nothing_of_the_outbox_is_held_while_a_batch_is_delivered(stage: Stage) -> None:
    held = 0

    class Counting(MemoryOutbox):
        async def take(self, owner_id: str, limit: int, max_bytes: int) -> Sequence[Waiting]:
            nonlocal held
            held += 1
            try:
                return await super().take(owner_id, limit, max_bytes)
            finally:
                held -= 1

    class Watching(ScriptedSink):
        async def record(self, batch: Sequence[bytes]) -> Delivered:
            assert held == 0
            return await super().record(batch)

    stage.store = Counting()
    await stage.added(1)
    await stage.relay(Watching()).flush(1)
    assert not stage.store.waiting


async def test_an_empty_outbox_has_no_backlog(stage: Stage) -> None:
    assert await stage.store.backlog() == Backlog()


async def test_a_single_bad_event_is_told_with_its_reason(stage: Stage) -> None:
    (event,) = await stage.added(1)
    stage.sink.bad = {event.payload}
    stage.sink.fault = InvalidArgument("it has no operation")
    with capture_logs() as logs:
        await stage.relay().flush(1)
    assert [(entry["event_id"], entry["error"]) for entry in logs] == [
        (event.event_id, "it has no operation")
    ]
