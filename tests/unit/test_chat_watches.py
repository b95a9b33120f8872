"""That somebody watches here is known to the store from the first event that is read until the last watcher leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

import services.chat.generation.tails as tails_module
from services.chat.generation.tails import RemoteTails
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_play import until


class Slow(MemoryRecordStore):
    """Answers to watches as a database does: each on a connection of its own, the taking back later than the registration."""

    def __init__(self) -> None:
        super().__init__()
        self.watches = self.unwatches = self.failures = 0
        self.watch_gate, self.unwatch_gate = asyncio.Event(), asyncio.Event()
        self.watch_gate.set()
        self.unwatch_gate.set()

    async def watch(self, watcher_id: str, generation_ids: Collection[str], ttl: timedelta) -> None:
        self.watches += 1
        await self.watch_gate.wait()
        if self.failures:
            self.failures -= 1
            raise Unavailable("away for a moment")
        await super().watch(watcher_id, generation_ids, ttl)

    async def unwatch(self, watcher_id: str, generation_id: str) -> None:
        self.unwatches += 1
        await self.unwatch_gate.wait()
        await super().unwatch(watcher_id, generation_id)


@asynccontextmanager
async def at_work(store: Slow) -> AsyncIterator[RemoteTails]:
    remote = RemoteTails(store, store, new_id())
    run = asyncio.create_task(remote.run())
    try:
        yield remote
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


class Follower:
    """Somebody who follows a generation until told to leave."""

    def __init__(self, remote: RemoteTails, id_: str) -> None:
        self.reads = False
        self._left = asyncio.Event()
        self.task = asyncio.create_task(self._run(remote, id_))

    async def _run(self, remote: RemoteTails, id_: str) -> None:
        async with remote.following(id_):
            self.reads = True
            await self._left.wait()

    async def leave(self) -> None:
        self._left.set()
        await self.task


async def test_who_comes_back_at_once_is_known_and_not_undone() -> None:
    store, id_ = Slow(), new_id()
    async with at_work(store) as remote:
        store.unwatch_gate.clear()
        async with remote.following(id_):
            pass
        await until(lambda: store.unwatches == 1)
        again = Follower(remote, id_)
        await asyncio.sleep(0.01)
        # What is under way would take its registration back.
        assert not again.reads
        store.unwatch_gate.set()
        await until(lambda: again.reads)
        assert await store.watched([id_]) == {id_}
        await again.leave()
        await until(lambda: not store._watches)


async def test_nobody_reads_before_the_store_knows() -> None:
    store, id_ = Slow(), new_id()
    async with at_work(store) as remote:
        store.watch_gate.clear()
        first, second = Follower(remote, id_), Follower(remote, id_)
        await until(lambda: store.watches == 1)
        first.task.cancel()
        await asyncio.gather(first.task, return_exceptions=True)
        assert not second.reads
        store.watch_gate.set()
        await until(lambda: second.reads)
        assert await store.watched([id_]) == {id_}
        assert store.watches == 1
        await second.leave()


async def test_a_registration_that_comes_too_late_is_taken_back() -> None:
    store, id_ = Slow(), new_id()
    async with at_work(store) as remote:
        store.watch_gate.clear()
        follower = Follower(remote, id_)
        await until(lambda: store.watches == 1)
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)
        await asyncio.sleep(0.01)
        store.watch_gate.set()
        await until(lambda: store.unwatches == 1 and not store._watches)


async def test_a_registration_that_failed_is_repeated_soon() -> None:
    store, ids = Slow(), [new_id() for _ in range(20)]
    store.failures = 21
    async with at_work(store) as remote:
        followers = [Follower(remote, id_) for id_ in ids]
        # Whoever reads does not wait for a store that is away.
        await until(lambda: all(follower.reads for follower in followers))
        await until(lambda: len(store._watches) == 20, 0.9)
        # All that failed in one step, the second time as well.
        assert store.watches == 22
        await asyncio.gather(*(follower.leave() for follower in followers))


async def test_a_taking_back_that_hangs_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails_module, "_UNWATCH_SECONDS", 0.05)
    store, id_ = Slow(), new_id()
    async with at_work(store) as remote:
        store.unwatch_gate.clear()
        async with remote.following(id_):
            pass
        await until(lambda: store.unwatches == 1)
        again = Follower(remote, id_)
        await until(lambda: again.reads)
        assert await store.watched([id_]) == {id_}
        await again.leave()
