"""The record writer: durable before shown, one write in flight, nothing lost while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import services.chat.generation.writer as writer_module
from services.chat.model import State, TextDelta
from services.kernel.errors import Aborted
from tests.fakes.chat_play import ALICE, Chat, chat, is_dense, until, words


@asynccontextmanager
async def two_at_work() -> AsyncIterator[tuple[Chat, str, str]]:
    async with chat() as it:
        yield it, await it.begin(), await it.begin()


async def test_an_event_is_shown_when_it_is_durable_and_not_before() -> None:
    async with chat() as it:
        id_ = await it.begin()
        it.store.gate.clear()
        watching = asyncio.create_task(it.read(id_))
        it.play.say("Hola")
        await until(lambda: it.store.writing == 1)
        live = it.generations.live(id_)
        assert live is not None
        assert live.snapshot().last_seq == 1
        assert (await it.find(ALICE, id_, "")).text == ""
        it.store.gate.set()
        await it.durable(id_, 2)
        assert (await it.find(ALICE, id_, "")).text == "Hola"
        it.play.finish()
        assert words(await watching) == "Hola"


async def test_what_arrives_during_a_write_goes_out_together_in_the_next_one() -> None:
    async with two_at_work() as (it, first, second):
        it.store.gate.clear()
        it.provider.plays[0].say("a")
        await until(lambda: it.store.writing == 1)
        it.provider.plays[0].say("b", "c", "d")
        it.provider.plays[1].say("x", "y")
        live = [it.generations.live(id_) for id_ in (first, second)]
        await until(lambda: [one.last_seq for one in live if one] == [5, 3])
        it.store.gate.set()
        await it.durable(first, 5)
        await it.durable(second, 3)
        assert it.store.most_writing == 1
        assert len(it.store.offered) == 2
        assert {flush.generation_id: (flush.first_seq, flush.seq) for flush in it.store.offered[1]} == {
            first: (3, 5),
            second: (2, 3),
        }
        assert [event.body for event in it.store.offered[1][0].events] == [TextDelta("bcd")]


async def test_an_answer_that_ends_while_writes_are_in_flight_is_recorded_whole() -> None:
    async with chat() as it:
        id_ = await it.begin()
        watching = asyncio.create_task(it.read(id_))
        it.store.gate.clear()
        it.play.say("one ")
        await until(lambda: it.store.writing == 1)
        it.play.say("two ", "three")
        it.play.finish()
        await until(lambda: it.play.closed)
        assert it.store.finishes == []
        it.store.gate.set()
        events = await watching
        assert is_dense(events)
        assert words(events) == "one two three"
        stored = await it.ended(id_)
        assert (stored.state, stored.text, stored.last_seq) == (State.COMPLETED, "one two three", 5)
        assert is_dense(await it.store.events(id_, 0, 100))


async def test_a_store_that_was_away_for_a_while_has_lost_nothing() -> None:
    async with chat() as it:
        id_ = await it.begin()
        watching = asyncio.create_task(it.read(id_))
        it.store.away = True
        it.play.say("one ", "two ")
        await until(lambda: len(it.store.offered) >= 2)
        it.play.say("three")
        it.store.away = False
        await it.durable(id_, 4)
        it.play.finish()
        assert words(await watching) == "one two three"
        assert (await it.ended(id_)).text == "one two three"


async def test_a_write_whose_fate_is_unknown_is_repeated_with_the_same_rows() -> None:
    async with chat() as it:
        id_ = await it.begin()
        watching = asyncio.create_task(it.read(id_))
        it.store.forgets = 2
        it.play.say("once")
        await until(lambda: len(it.store.offered) >= 2)
        it.play.say(" more")
        await it.durable(id_, 3)
        assert it.store.offered[0] == it.store.offered[1] == it.store.offered[2]
        it.play.finish()
        assert words(await watching) == "once more"
        assert words(await it.store.events(id_, 0, 100)) == "once more"


async def test_a_refused_flush_ends_the_generation_as_interrupted() -> None:
    async with chat() as it:
        id_ = await it.begin()
        watching = asyncio.create_task(it.read(id_))
        it.play.say("before ")
        await it.durable(id_, 2)
        other = await it.store.acquire("other", it.keeper._ttl)
        await it.store.take_over(other, sole_owner=True, limit=100)
        it.play.say("after")
        with pytest.raises(Aborted) as told:
            await watching
        assert told.value.reason == "GENERATION_INTERRUPTED"
        await until(lambda: it.play.closed)
        await until(lambda: it.generations.live(id_) is None)
        assert it.store.usage == []
        assert (await it.stored(id_)).state is State.RUNNING


async def test_a_store_that_stays_away_ends_generations_and_leaves_none_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_SECONDS", (0.01, 0.01))
    async with chat() as it:
        id_ = await it.begin()
        watching = asyncio.create_task(it.read(id_))
        it.play.say("kept ")
        await it.durable(id_, 2)
        it.store.away = True
        it.play.say("lost")
        with pytest.raises(Aborted):
            await watching
        await until(lambda: it.play.closed)
        it.store.away = False
        stored = await it.ended(id_)
        assert (stored.state, stored.text) == (State.INTERRUPTED, "kept ")
        assert stored.failure is not None
        assert stored.failure.reason == "GENERATION_INTERRUPTED"
        assert [event.error_reason for event in it.store.usage] == ["GENERATION_INTERRUPTED"]


async def test_a_generation_that_cannot_be_stored_takes_no_other_with_it() -> None:
    async with two_at_work() as (it, bad, good):
        it.store.defect_in = "poison"
        it.store.gate.clear()
        it.provider.plays[1].say("first ")
        await until(lambda: it.store.writing == 1)
        it.provider.plays[0].say("poison")
        it.provider.plays[1].say("second")
        live = it.generations.live(bad)
        assert live is not None
        await until(lambda: live.last_seq == 2)
        it.store.gate.set()
        await it.durable(good, 3)
        it.provider.plays[1].finish()
        assert (await it.ended(good)).text == "first second"
        assert (await it.ended(bad)).state is State.INTERRUPTED


async def test_an_end_that_cannot_be_stored_is_stored_as_a_failure() -> None:
    async with chat() as it:
        id_ = await it.begin()
        it.play.say("good ")
        await it.durable(id_, 2)
        it.store.defect_in = "poison"
        it.store.gate.clear()
        it.play.say("more ")
        await until(lambda: it.store.writing == 1)
        # Pending when the reading ends, so the final write has to take it.
        it.play.send([TextDelta("poison")])
        live = it.generations.live(id_)
        assert live is not None
        await until(lambda: live.last_seq == 4)
        it.writer.forget(live)
        it.play.finish()
        it.store.gate.set()
        stored = await it.ended(id_)
        assert (stored.state, stored.text) == (State.FAILED, "good more ")
        assert stored.failure is not None
        assert stored.failure.reason == "INTERNAL"
