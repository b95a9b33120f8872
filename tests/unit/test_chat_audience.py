"""What is to stop when nobody watches stops when nobody does on any replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise

import pytest

import services.chat.generation.audience as audience_module
from services.chat.generation.audience import Audience
from services.chat.model import State
from services.kernel.ids import new_id
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_play import SlowStore, Viewer, chat, stop_after, until, watched
from tests.fakes.chat_records import TTL


class Asked(SlowStore):
    """Counts how often it was asked who watches."""

    asked = 0

    async def watched(self, generation_ids: Collection[str]) -> frozenset[str]:
        self.asked += 1
        return await super().watched(generation_ids)


async def asked_again(store: Asked) -> None:
    """Wait until the store was asked since now."""
    asked = store.asked
    await until(lambda: store.asked > asked + 1)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience_module, "_ASK_SECONDS", 0.01)


async def test_it_goes_on_while_somebody_watches_elsewhere_and_stops_when_they_leave() -> None:
    store = Asked()
    async with chat(store) as owner, chat(store) as other:
        id_, here = await watched(owner, **stop_after(0))
        there = Viewer(other, id_)
        await until(lambda: there.events)
        await here.leave()
        await asked_again(store)
        owner.play.say("for who stays")
        await until(lambda: len(there.events) > 1)
        assert not owner.play.closed
        await there.leave()
        await until(lambda: owner.play.closed)
        assert (await owner.ended(id_)).state is State.CANCELLED


async def test_who_comes_back_elsewhere_within_the_grace_keeps_it_alive() -> None:
    store = Asked()
    async with chat(store) as owner, chat(store) as other:
        id_, here = await watched(owner, **stop_after(0.2))
        await here.leave()
        there = Viewer(other, id_)
        await until(lambda: there.events)
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.3
        await until(lambda: loop.time() > end)
        assert not owner.play.closed
        left = loop.time()
        await there.leave()
        await until(lambda: owner.play.closed)
        assert loop.time() - left >= 0.2
        assert (await owner.ended(id_)).state is State.CANCELLED


async def test_who_comes_back_here_is_enough() -> None:
    store = Asked()
    async with chat(store) as owner:
        id_, one = await watched(owner, **stop_after(0.05))
        await one.leave()
        two = Viewer(owner, id_)
        await until(lambda: two.events)
        await asyncio.sleep(0.1)
        assert not owner.play.closed
        assert not owner.generations._audience._unwatched
        await two.leave()
        await until(lambda: owner.play.closed)


async def test_a_watch_of_a_process_that_died_runs_out() -> None:
    store = Asked()
    async with chat(store) as owner:
        id_, here = await watched(owner, **stop_after(0))
        await store.watch(new_id(), [id_], timedelta(seconds=0.1))
        await here.leave()
        await asked_again(store)
        assert not owner.play.closed
        await until(lambda: owner.play.closed)


@pytest.mark.parametrize("grace", [0.0, 0.05])
async def test_a_store_that_does_not_answer_is_no_reason_to_stop_at_once_nor_to_go_on_for_ever(
    monkeypatch: pytest.MonkeyPatch, grace: float
) -> None:
    monkeypatch.setattr(audience_module, "WATCH_TTL", timedelta(seconds=0.3))
    store = Asked()
    async with chat(store) as owner:
        _, here = await watched(owner, **stop_after(grace))
        store.away = True
        loop = asyncio.get_running_loop()
        left = loop.time()
        await here.leave()
        await asked_again(store)
        assert not owner.play.closed
        await until(lambda: owner.play.closed)
        assert loop.time() - left >= 0.3 + grace
        store.away = False


async def test_a_store_that_answers_again_is_believed() -> None:
    store = Asked()
    async with chat(store) as owner:
        id_, here = await watched(owner, **stop_after(0))
        await store.watch(new_id(), [id_], TTL)
        store.away = True
        await here.leave()
        await asked_again(store)
        store.away = False
        await asked_again(store)
        assert not owner.play.closed
        store._watches.clear()
        await until(lambda: owner.play.closed)


async def test_many_are_asked_about_together_and_nobody_without_need() -> None:
    store = Asked()
    async with chat(store) as owner:
        seen = [await watched(owner, **stop_after(0)) for _ in range(40)]
        store.asked = 0
        await asyncio.gather(*(viewer.leave() for _, viewer in seen))
        await until(lambda: not len(owner.generations))
        assert store.asked <= 4
        await asyncio.sleep(0.05)
        assert store.asked <= 4


async def test_a_replica_that_drains_is_no_disconnect_elsewhere() -> None:
    store = Asked()
    async with chat(store) as owner, chat(store) as other:
        id_, here = await watched(owner, **stop_after(0))
        there = Viewer(other, id_)
        await until(lambda: there.events)
        await here.leave()
        other.remote.drain()
        await there.leave()
        await asked_again(store)
        assert not owner.play.closed
        again = Viewer(owner, id_)
        await until(lambda: again.events)
        await again.leave()


class Quiet(MemoryRecordStore):
    """Keeps when it was asked who watches, and of how many."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, int]] = []

    async def watched(self, generation_ids: Collection[str]) -> frozenset[str]:
        self.asked.append((asyncio.get_running_loop().time(), len(generation_ids)))
        return await super().watched(generation_ids)


@asynccontextmanager
async def at_work(store: Quiet, stopped: list[str]) -> AsyncIterator[Audience]:
    audience = Audience(store, stopped.append)
    run = asyncio.create_task(audience.run())
    try:
        yield audience
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def test_the_store_is_asked_no_more_often_however_many_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience_module, "_ASK_SECONDS", 0.05)
    store, stopped = Quiet(), list[str]()
    async with at_work(store, stopped) as audience:
        for number in range(50):
            audience.left(f"gone {number}", 10.0)
        for number in range(100):
            # Some leave for good, at once or after graces of all lengths.
            audience.left(f"new {number}", number % 5 / 100)
            if number % 2:
                audience.returned(f"new {number}")
            await asyncio.sleep(0.003)
        await until(lambda: len(stopped) == 50)
    times = [time for time, _ in store.asked]
    assert min(later - time for time, later in pairwise(times)) > 0.045


async def test_nobody_is_asked_about_what_is_watched_as_soon_as_it_begins() -> None:
    store, stopped = Quiet(), list[str]()
    async with at_work(store, stopped) as audience:
        for number in range(20):
            audience.left(str(number), number % 2 * 10.0)
            await asyncio.sleep(0)
            audience.returned(str(number))
            await asyncio.sleep(0.003)
    assert store.asked == []


async def test_the_end_of_a_grace_waits_for_no_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience_module, "_ASK_SECONDS", 0.6)
    store, stopped = Quiet(), list[str]()
    loop = asyncio.get_running_loop()
    for grace in (0.0, 0.75):
        async with at_work(store, stopped) as audience:
            left = loop.time()
            audience.left("one", grace)
            await until(lambda: stopped)
            # Rounds would have it stopped at 0.6 and at 1.2.
            assert grace <= loop.time() - left < grace + 0.4
            stopped.clear()
