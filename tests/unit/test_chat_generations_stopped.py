"""How generations end with their process, their lease or their store, and what becomes of those that nobody makes any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from services.capabilities.metering.model import Provenance, Unit, Usage, UsageStatus
from services.chat.model import (
    Delta,
    FinishReason,
    OnDisconnect,
    State,
    TextDelta,
)
from services.chat.ports import Done, ModelCall
from services.kernel.errors import (
    Aborted,
    ResourceExhausted,
    Unavailable,
)
from tests.fakes.chat_play import (
    ALICE,
    ANONYMOUS,
    SlowStore,
    a_call,
    a_model,
    chat,
    finished,
    stop_after,
    until,
    watched,
    words,
)
from tests.fakes.chat_records import adopted_by

USAGE = Usage({Unit.INPUT_TOKENS: 3, Unit.OUTPUT_TOKENS: 2}, Provenance.REPORTED)


async def test_no_more_are_admitted_than_the_process_may_make() -> None:
    async with chat(max_generations=1) as it:
        id_ = await it.begin()
        with pytest.raises(ResourceExhausted) as refused:
            await it.start(ALICE, a_call(), None)
        assert refused.value.retry_after
        it.play.finish()
        await it.ended(id_)
        await it.begin()


async def test_draining_lets_answers_end_and_interrupts_the_rest_on_record() -> None:
    async with chat() as it:
        quick, slow = await it.begin(), await it.begin(**stop_after(5))
        reading = asyncio.create_task(it.read(slow))
        for play in it.provider.plays:
            play.say("half")
        await it.durable(slow, 2)
        it.provider.plays[0].finish()
        await it.generations.drain(0.1)
        assert len(it.generations) == 0
        with pytest.raises(Aborted):
            await reading
        assert (await it.stored(quick)).state is State.COMPLETED
        stored = await it.stored(slow)
        assert (stored.state, stored.text) == (State.INTERRUPTED, "half")
        assert len(it.store.usage) == 2


async def test_draining_is_no_disconnect() -> None:
    async with chat() as it:
        id_, viewer = await watched(it, **stop_after(0.02))
        draining = asyncio.create_task(it.generations.drain(5))
        await asyncio.sleep(0)
        await viewer.leave()
        await asyncio.sleep(0.06)
        it.play.say("whole")
        it.play.finish()
        await draining
        assert (await it.stored(id_)).state is State.COMPLETED


async def test_a_process_that_stops_begins_nothing_new() -> None:
    async with chat() as it:
        await it.generations.drain(0)
        with pytest.raises(Unavailable):
            await it.start(ALICE, a_call(), None)


async def test_closing_ends_everything_and_tells_the_watchers() -> None:
    async with chat() as it:
        running, unstarted = await it.begin(), await it.start(ALICE, a_call(), None)
        readings = [asyncio.create_task(it.read(id_)) for id_ in (running, unstarted)]
        await asyncio.sleep(0)
        await it.generations.close()
        for reading in readings:
            with pytest.raises(Aborted):
                await reading
        assert it.provider.plays[0].closed


async def test_closing_does_not_hang_on_a_store_that_is_away() -> None:
    async with chat() as it:
        first, second = await it.begin(), await it.begin()
        it.provider.plays[0].finish()
        it.store.away = True
        await until(lambda: it.store.finishes)
        it.generations.cancel_soon(second)
        await asyncio.wait_for(it.generations.close(), 1)
        assert it.generations.live(first) is None


async def test_losing_the_lease_ends_what_is_made() -> None:
    async with chat() as it:
        id_ = await it.begin()
        reading = asyncio.create_task(it.read(id_))
        it.play.say("half")
        await it.durable(id_, 2)
        other = await it.store.acquire("other", timedelta(seconds=30))
        adopted = await adopted_by(it.store, other, sole_owner=True)
        it.generations.interrupt_all()
        with pytest.raises(Aborted):
            await reading
        await until(lambda: it.generations.live(id_) is None)
        assert it.play.closed
        assert it.store.usage == []
        assert [generation.text for generation in adopted] == ["half"]


async def test_what_a_dead_process_left_is_ended_as_interrupted() -> None:
    store = SlowStore()
    async with chat(store) as dead:
        id_ = await dead.begin()
        dead.play.say("half")
        await dead.durable(id_, 2)
        await dead.generations.close()
        await dead.keeper.release()
        async with chat(store) as alive:
            await alive.keeper.take_over(alive.generations)
            stored = await alive.stored(id_)
            assert (stored.state, stored.text) == (State.INTERRUPTED, "half")
            with pytest.raises(Aborted):
                await alive.read(id_)
            await alive.keeper.take_over(alive.generations)
            assert len(store.usage) == 1


async def test_an_end_is_offered_until_the_store_takes_it_and_counted_once() -> None:
    async with chat() as it:
        id_ = await it.begin()
        reading = asyncio.create_task(it.read(id_))
        it.play.say("whole")
        await it.durable(id_, 2)
        it.store.away = True
        it.play.finish()
        await until(lambda: len(it.store.finishes) >= 2)
        assert not reading.done()
        it.store.away = False
        it.store.forgets = 2
        assert finished(await reading).reason is FinishReason.STOP
        assert (await it.ended(id_)).state is State.COMPLETED
        assert len(it.store.usage) == 1
        assert all(ending == it.store.finishes[0] for ending in it.store.finishes)


async def test_watchers_are_told_when_the_end_cannot_be_recorded_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.chat.generation.recording._TELL_WATCHERS_AFTER_SECONDS", 0.05)
    async with chat() as it:
        id_ = await it.begin()
        reading = asyncio.create_task(it.read(id_))
        it.play.say("whole")
        await it.durable(id_, 2)
        it.store.away = True
        it.play.finish()
        with pytest.raises(Unavailable):
            await reading
        it.store.away = False
        assert (await it.ended(id_)).state is State.COMPLETED
        assert words(await it.read(id_)) == "whole"


async def test_a_caller_that_leaves_while_its_call_begins_leaves_no_orphan() -> None:
    async with chat() as it:
        it.store.begin_gate.clear()
        starting = asyncio.create_task(it.start(ALICE, a_call(), None))
        await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        it.store.begin_gate.set()
        await until(lambda: it.provider.plays)
        it.play.say("made all the same")
        it.play.finish()
        await until(lambda: len(it.generations) == 0)
        assert [event.status for event in it.store.usage] == [UsageStatus.SUCCESS]


async def test_what_takes_long_to_begin_is_no_orphan() -> None:
    class Slow(SlowStore):
        async def begin(self, lease: object, new: object) -> str | None:
            begun = await super().begin(lease, new)  # type: ignore[arg-type]
            # It is in the store, and more is to be done.
            stored.set()
            await gate.wait()
            return begun

    stored, gate = asyncio.Event(), asyncio.Event()
    async with chat(Slow()) as it:
        starting = asyncio.create_task(it.start(ALICE, a_call(), None))
        await stored.wait()
        for _ in range(3):
            await it.generations.end_orphans()
        gate.set()
        id_ = await starting
        await it.generations.end_orphans()
        await until(lambda: it.provider.plays)
        await it.generations.end_orphans()
        it.play.say("made")
        it.play.finish()
        await it.ended(id_)
        assert [event.status for event in it.store.usage] == [UsageStatus.SUCCESS]


async def test_a_call_whose_beginning_is_uncertain_leaves_no_orphan() -> None:
    class Uncertain(SlowStore):
        async def begin(self, lease: object, new: object) -> str | None:
            await super().begin(lease, new)  # type: ignore[arg-type]
            raise Unavailable("the connection broke")

    async with chat(Uncertain()) as it:
        with pytest.raises(Unavailable):
            await it.start(ALICE, a_call(request_id="r", digest=b"d"), None)
        # Once seen it might be about to start; seen again, it is nobody's.
        await it.generations.end_orphans()
        assert not it.store.usage
        await it.generations.end_orphans()
        assert [event.error_reason for event in it.store.usage] == ["GENERATION_INTERRUPTED"]


async def test_what_an_anonymous_caller_leaves_stops_after_a_while() -> None:
    async with chat() as it:
        id_ = await it.begin(ANONYMOUS)
        job = it.generations._jobs[id_]
        assert (job.on_disconnect, job.grace) == (OnDisconnect.STOP, 10.0)
        assert it.generations._audience._unwatched[id_].grace == 10.0


async def test_a_provider_that_is_slow_to_close_holds_up_no_other() -> None:
    class Clinging:
        def __init__(self) -> None:
            self.plays: list[object] = []

        async def stream(self, call: ModelCall) -> AsyncIterator[Sequence[Delta] | Done]:
            try:
                yield [TextDelta("a")]
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)

    async with chat() as it:
        model = replace(a_model(), provider=Clinging())
        object.__setattr__(it.start.catalog, "default", model)
        it.start.catalog.models[model.name] = model  # type: ignore[index]
        id_ = await it.start(ALICE, a_call(), None)
        await it.durable(id_, 2)
        assert (await it.cancel(ALICE, id_, "")).state is State.CANCELLED
