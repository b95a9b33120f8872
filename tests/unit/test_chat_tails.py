"""Watching from one replica what another one makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta

import pytest

import services.chat.generation.tails as tails_module
from services.chat.errors import SeqOutOfRange
from services.chat.generation.announcing import Announcer
from services.chat.model import Event, FinishReason, State, TextDelta
from services.kernel.errors import Aborted, Unavailable
from services.kernel.ids import new_id
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_play import (
    ALICE,
    SlowStore,
    Viewer,
    a_call,
    chat,
    finished,
    is_dense,
    until,
    words,
)
from tests.fakes.chat_records import TTL, begun, new_generation

NEVER = 1000.0


def poll(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have watchers look for unannounced growth so often."""
    for name in ("_POLL_SECONDS", "_IDLE_POLL_SECONDS", "_SAFETY_POLL_SECONDS"):
        monkeypatch.setattr(tails_module, name, seconds)


async def shown(viewer: Viewer, word: str) -> None:
    """Wait until somebody has read the answer up to this word."""
    await until(lambda: words(viewer.events).endswith(word))


async def test_growth_and_end_are_shown_when_they_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    poll(monkeypatch, NEVER)
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        viewer = Viewer(other, id_)
        await until(lambda: viewer.events and store._listeners)
        assert await store.watched([id_]) == {id_}
        owner.generations.watched_elsewhere({id_})
        for word in ("one ", "two "):
            owner.play.say(word)
            await shown(viewer, word)
        owner.play.finish()
        await asyncio.wait_for(viewer.task, 3)
        assert is_dense(viewer.events)
        assert finished(viewer.events).reason is FinishReason.STOP
        await until(lambda: not store._watches)


async def test_growth_that_nobody_announces_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    poll(monkeypatch, 0.01)
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        viewer = Viewer(other, id_)
        owner.play.say("one ")
        await until(lambda: words(viewer.events) == "one ")
        owner.play.say("two")
        owner.play.finish()
        await asyncio.wait_for(viewer.task, 3)
        assert words(viewer.events) == "one two"


class Counting(SlowStore):
    """Counts what is read of records, and may be cut off from those who listen."""

    reads = 0
    cuts = 0

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        self.reads += 1
        await asyncio.sleep(0)
        return await super().events(generation_id, after_seq, limit)

    async def growth(self) -> AsyncIterator[str]:
        if self.cuts:
            self.cuts -= 1
            raise Unavailable("cut off")
        async for id_ in super().growth():
            yield id_


async def test_many_who_watch_one_generation_read_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    poll(monkeypatch, NEVER)
    store = Counting()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        viewers = [Viewer(other, id_) for _ in range(50)]
        await until(lambda: all(viewer.events for viewer in viewers) and store._listeners)
        owner.generations.watched_elsewhere({id_})
        store.reads = 0
        for word in ("a", "b", "c"):
            owner.play.say(word)
            for viewer in viewers:
                await shown(viewer, word)
        assert store.reads <= 2 * 3
        owner.play.finish()
        await asyncio.gather(*(viewer.task for viewer in viewers))
        assert {words(viewer.events) for viewer in viewers} == {"abc"}


async def test_who_watches_too_slowly_goes_on_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    poll(monkeypatch, 0.005)
    monkeypatch.setattr(tails_module, "_KEPT_EVENTS", 2)
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        slow = other.watch(id_, 0)
        first = await anext(slow)
        quick = Viewer(other, id_)
        for word in "abcdefghij":
            owner.play.say(word)
            await shown(quick, word)
        tail = other.remote._tails[id_]
        assert len(tail._kept) <= 2
        owner.play.finish()
        rest = [event async for event in slow]
        assert is_dense([first, *rest])
        assert words(rest) == "abcdefghij"


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        one, two = Viewer(other, id_), Viewer(other, id_)
        await until(lambda: one.events and two.events)
        await one.leave()
        owner.play.say("more")
        await until(lambda: words(two.events) == "more")
        assert await store.watched([id_]) == {id_}
        await two.leave()
        await until(lambda: not store._watches and not len(other.remote))


async def test_a_process_that_stops_leaves_its_watches_to_run_out() -> None:
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        kept, left = await owner.begin(), await owner.begin()
        one, two = Viewer(other, left), Viewer(other, kept)
        await until(lambda: one.events and two.events)
        await one.leave()
        await until(lambda: len(store._watches) == 1)
        other.remote.drain()
        await two.leave()
        await asyncio.sleep(0.02)
        assert await store.watched([kept, left]) == {kept}


async def test_watches_are_renewed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails_module, "_RENEW_SECONDS", 0.02)
    monkeypatch.setattr(tails_module, "WATCH_TTL", timedelta(seconds=0.2))

    class Renewed(SlowStore):
        asked: list[int]

        async def watch(self, watcher_id: str, generation_ids: Collection[str], ttl: timedelta) -> None:
            self.asked.append(len(generation_ids))
            await super().watch(watcher_id, generation_ids, ttl)

    store = Renewed()
    store.asked = []
    async with chat(store) as owner, chat(store) as other:
        ids = [await owner.begin() for _ in range(5)]
        viewers = [Viewer(other, id_) for id_ in ids]
        await until(lambda: store.asked.count(5) > 12)
        assert await store.watched(ids) == set(ids)
        await asyncio.gather(*(viewer.leave() for viewer in viewers))


async def test_a_listener_that_is_cut_off_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails_module, "_RECONNECT_SECONDS", 0.01)
    store = Counting()
    store.cuts = 3
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        viewer = Viewer(other, id_)
        await until(lambda: viewer.events and store._listeners)
        assert store.cuts == 0
        await viewer.leave()


async def test_a_store_that_can_not_announce_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails_module, "_SAFETY_POLL_SECONDS", NEVER)

    class Mute(SlowStore):
        async def growth(self) -> AsyncIterator[str]:
            if self.away:
                yield ""

    store = Mute()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        viewer = Viewer(other, id_)
        for word in ("one ", "two "):
            owner.play.say(word)
            await shown(viewer, word)
        await viewer.leave()


async def test_growth_that_goes_unannounced_is_looked_for_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails_module, "_KNOWN_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(tails_module, "_SAFETY_POLL_SECONDS", 0.2)
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        viewer = Viewer(other, id_)
        await until(lambda: viewer.events and store._listeners)
        tail, remote = other.remote._tails[id_], other.remote
        assert remote._pause(tail) == tails_module._POLL_SECONDS
        # The store announces, and nothing of this one: its owner is taken to know of the watch, and to have nothing to tell.
        await store.announce([remote._watcher_id])
        await until(lambda: remote._pause(tail) == 0.2)
        owner.play.say("unannounced")
        await shown(viewer, "unannounced")
        assert remote._pause(tail) == tails_module._POLL_SECONDS
        await store.announce([id_])
        await until(lambda: remote._pause(tail) == 0.2)
        await viewer.leave()


async def test_a_long_record_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    poll(monkeypatch, NEVER)
    monkeypatch.setattr(tails_module, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr("services.chat.usecases.generations.ROWS_AT_ONCE", 4)
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        for seq in range(2, 40):
            owner.play.say("x")
            await owner.durable(id_, seq)
        viewer = Viewer(other, id_)
        await shown(viewer, "x" * 38)
        await viewer.leave()
        owner.play.finish()
        await owner.ended(id_)
        assert words(await other.read(id_)) == "x" * 38


async def test_positions_are_checked_before_anything_is_waited_for() -> None:
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        owner.play.send([TextDelta("a"), TextDelta("b")])
        await owner.durable(id_, 3)
        for position in (2, 4, 99):
            with pytest.raises(SeqOutOfRange) as refused:
                await asyncio.wait_for(other.read(id_, position), 3)
            assert refused.value.metadata == {"generation_id": id_, "last_seq": "3"}
        reading = asyncio.create_task(other.read(id_, 3))
        owner.play.say("c")
        owner.play.finish()
        events = await asyncio.wait_for(reading, 3)
        assert (is_dense(events, 3), words(events)) == (True, "c")


async def test_what_was_stored_and_not_yet_begun_here_is_watched_here_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poll(monkeypatch, 0.01)
    async with chat() as it:
        starting: dict[str, object] = {}
        start = it.generations.start
        monkeypatch.setattr(it.generations, "start", lambda *args: starting.setdefault("args", args))
        id_ = await it.start(ALICE, a_call(), None)
        viewer = Viewer(it, id_)
        await until(lambda: viewer.events)
        assert len(it.remote) == 1
        start(*starting["args"])  # type: ignore[misc]
        await until(lambda: not len(it.remote) and it.provider.plays)
        it.play.say("here")
        it.play.finish()
        await asyncio.wait_for(viewer.task, 3)
        assert (is_dense(viewer.events), words(viewer.events)) == (True, "here")


async def test_a_generation_whose_maker_died_is_ended_for_who_watches_by_this_very_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poll(monkeypatch, NEVER)
    store = SlowStore()
    async with chat(store) as dead, chat(store) as other:
        id_ = await dead.begin()
        dead.play.say("half")
        await dead.durable(id_, 2)
        viewer = Viewer(other, id_)
        await until(lambda: words(viewer.events) == "half" and store._listeners)
        await dead.generations.close()
        await dead.keeper.release()
        await other.keeper.take_over(other.generations)
        with pytest.raises(Aborted) as told:
            await asyncio.wait_for(viewer.task, 3)
        assert told.value.reason == "GENERATION_INTERRUPTED"
        assert (await other.stored(id_)).state is State.INTERRUPTED


class Announced(MemoryRecordStore):
    """Keeps the rounds of announcements, each of which takes until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[set[str]] = []
        self.gate = asyncio.Event()

    async def announce(self, generation_ids: Collection[str]) -> None:
        self.rounds.append(set(generation_ids))
        await self.gate.wait()


async def test_only_growth_that_somebody_waits_for_is_announced_and_together() -> None:
    store = Announced()
    announcer = Announcer(store)
    run = asyncio.create_task(announcer.run())
    one, two, three = "one", "two", "three"
    announcer.grown(one)
    announcer.watched({one, two})
    announcer.grown(three)
    announcer.grown(one)
    await until(lambda: store.rounds)
    for _ in range(100):
        announcer.grown(one)
        announcer.grown(two)
    store.gate.set()
    await until(lambda: len(store.rounds) == 2)
    assert store.rounds == [{one}, {one, two}]
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_an_announcement_that_fails_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chat.generation.announcing._PAUSE_AFTER_FAILURE_SECONDS", 0.0)
    store = SlowStore()
    announcer = Announcer(store)
    run = asyncio.create_task(announcer.run())
    store.away = True
    announcer.announce("lost")
    await asyncio.sleep(0.01)
    store.away = False

    async def hear() -> str:
        return await anext(store.growth())

    hearing = asyncio.create_task(hear())
    await until(lambda: store._listeners)
    announcer.announce("heard")
    assert await asyncio.wait_for(hearing, 3) == "heard"
    for task in (run, hearing):
        task.cancel()
    await asyncio.gather(run, hearing, return_exceptions=True)


async def test_the_owner_announces_what_its_renewal_says_is_watched() -> None:
    store = SlowStore()
    new = new_generation()
    await begun(store, new)
    async with chat(store) as owner:
        id_ = await owner.begin()
        await store.watch(new_id(), [id_, new.generation.generation_id], TTL)
        object.__setattr__(owner.keeper, "_ttl", timedelta(seconds=0.04))
        keeping = asyncio.create_task(owner.keeper.run(owner.generations))
        await until(lambda: owner.generations._announcer._watched == {id_})
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
