"""A process that was paused past its lease, and woken when another one had taken over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.chat.errors import GenerationInterrupted
from services.chat.model import Generation, State
from services.kernel.errors import Aborted
from services.kernel.ids import new_id
from tests.fakes.chat_play import ALICE, Chat, SlowStore, Viewer, a_call, chat, is_dense, until, words
from tests.fakes.chat_records import TTL, adopted_by


async def taken_over(store: SlowStore) -> list[Generation]:
    """Somebody else takes this process for dead, and adopts what it makes."""
    other = await store.acquire(new_id(), TTL)
    return await adopted_by(store, other, sole_owner=True)


async def interrupted(viewer: Viewer) -> None:
    with pytest.raises(Aborted) as told:
        await asyncio.wait_for(viewer.task, 3)
    assert told.value.reason == GenerationInterrupted.reason


async def recorded(it: Chat, id_: str) -> str:
    return words(await it.store.events(id_, 0, 1000))


async def test_a_flush_that_was_under_way_is_shown_to_nobody() -> None:
    async with chat() as it:
        id_ = await it.begin()
        viewer = Viewer(it, id_)
        it.play.say("kept ")
        await until(lambda: words(viewer.events) == "kept ")
        it.store.gate.clear()
        it.play.say("LOST ")
        await until(lambda: it.store.writing)
        await taken_over(it.store)
        it.store.gate.set()
        it.play.say("LOST TOO")
        await interrupted(viewer)
        assert is_dense(viewer.events)
        assert words(viewer.events) == await recorded(it, id_) == "kept "
        await until(lambda: it.generations.live(id_) is None)
        assert it.play.closed
        assert it.store.usage == []


async def test_an_end_that_was_under_way_is_not_told() -> None:
    async with chat() as it:
        id_ = await it.begin()
        viewer = Viewer(it, id_)
        it.play.say("kept ")
        await until(lambda: words(viewer.events) == "kept ")
        await taken_over(it.store)
        it.play.finish()
        await interrupted(viewer)
        assert words(viewer.events) == "kept "
        assert it.store.usage == []


async def test_an_end_that_was_stored_before_the_pause_is_told_as_it_was_stored() -> None:
    async with chat() as it:
        id_ = await it.begin()
        viewer = Viewer(it, id_)
        it.play.say("whole")
        await until(lambda: words(viewer.events) == "whole")
        it.store.forgets = 1
        it.play.finish()
        # The answer to the final write is lost on the way; meanwhile the lease is.
        await until(lambda: it.store.finishes)
        await taken_over(it.store)
        await asyncio.wait_for(viewer.task, 3)
        assert (await it.stored(id_)).state is State.COMPLETED
        assert len(it.store.usage) == 1


async def test_it_takes_a_new_lease_and_goes_on_with_new_calls() -> None:
    async with chat() as it:
        id_ = await it.begin()
        viewer = Viewer(it, id_)
        it.play.say("kept ")
        await until(lambda: words(viewer.events) == "kept ")
        lost = it.keeper.lease
        (adopted,) = await taken_over(it.store)
        assert adopted.generation_id == id_
        object.__setattr__(it.keeper, "_ttl", timedelta(seconds=0.04))
        keeping = asyncio.create_task(it.keeper.run(it.generations))
        await interrupted(viewer)
        await until(lambda: it.keeper.lease != lost)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        object.__setattr__(it.keeper, "_ttl", TTL)
        await it.keeper.acquire()
        again = await it.start(ALICE, a_call(), None)
        reading = asyncio.create_task(it.read(again))
        await until(lambda: len(it.provider.plays) == 2)
        it.play.say("after it")
        it.play.finish()
        assert words(await asyncio.wait_for(reading, 3)) == "after it"


async def test_who_was_interrupted_can_go_on_with_the_record() -> None:
    store = SlowStore()
    async with chat(store) as paused, chat(store) as other:
        id_ = await paused.begin()
        viewer = Viewer(paused, id_)
        paused.play.say("kept ")
        await until(lambda: words(viewer.events) == "kept ")
        await paused.keeper.release()
        await other.keeper.take_over(other.generations)
        paused.play.say("LOST")
        await interrupted(viewer)
        await until(lambda: paused.generations.live(id_) is None)
        for it in (paused, other):
            resumed = Viewer(it, id_, viewer.events[-1].seq)
            await interrupted(resumed)
            assert resumed.events == []
            assert (await it.find(ALICE, id_, "")).state is State.INTERRUPTED
        assert len(store.usage) == 1
