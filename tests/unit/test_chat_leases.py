"""The lease is renewed whatever there is to take over, and what the dead left is ended in small parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

import services.chat.generation.leases as leases_module
from services.capabilities.metering.model import UsageEvent
from services.chat.generation.leases import LeaseKeeper
from services.chat.model import Ending, Generation, Lease, State
from services.chat.ports import Renewal
from services.kernel.ids import new_id
from tests.fakes.chat_play import Chat, SlowStore, chat, until
from tests.fakes.chat_records import TTL, new_generation

SHORT = timedelta(seconds=0.4)


class Busy(SlowStore):
    """Ends what was left slowly, and may renew slowly; keeps how much each round adopted."""

    def __init__(self) -> None:
        super().__init__()
        self.pause = self.renewal_pause = 0.0
        self.rounds: list[int] = []
        self.renewals = 0

    async def renew(self, lease: Lease, ttl: timedelta) -> Renewal | None:
        await asyncio.sleep(self.renewal_pause)
        self.renewals += 1
        return await super().renew(lease, ttl)

    async def take_over(self, mine: Lease, *, sole_owner: bool, limit: int) -> Sequence[str]:
        adopted = await super().take_over(mine, sole_owner=sole_owner, limit=limit)
        self.rounds.append(len(adopted))
        return adopted

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        await asyncio.sleep(self.pause)
        return await super().finish(lease, generation, ending, usage_event)

    async def left_by_the_dead(self, count: int) -> list[str]:
        dead, news = await self.acquire(new_id(), TTL), [new_generation() for _ in range(count)]
        for new in news:
            assert await self.begin(dead, new) is None
        await self.release(dead)
        return [new.generation.generation_id for new in news]

    async def states(self, ids: Sequence[str]) -> set[State | None]:
        return {await self.state(id_) for id_ in ids}


@asynccontextmanager
async def kept(it: Chat, ttl: timedelta) -> AsyncIterator[LeaseKeeper]:
    """A short lease, kept as a process keeps it."""
    object.__setattr__(it.keeper, "_ttl", ttl)
    await it.keeper.acquire()
    running = asyncio.create_task(it.keeper.run(it.generations))
    try:
        yield it.keeper
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_take_over_of_any_length_does_not_delay_the_renewals() -> None:
    store = Busy()
    # All of them take several lives of the lease.
    ids, store.pause = await store.left_by_the_dead(50), 0.02
    async with chat(store) as it, kept(it, SHORT) as keeper:
        mine = await it.begin()
        await until(lambda: store.rounds)
        longest = 0.0
        while it.store.usage == [] or len(it.store.usage) < len(ids):
            longest = max(longest, keeper.unrenewed_seconds)
            watcher = await store.acquire(new_id(), TTL)
            # Whoever looks for the dead meanwhile finds nothing that is this process's.
            assert mine not in await store.take_over(watcher, sole_owner=False, limit=0)
            assert await store.renew(keeper.lease, SHORT) is not None
            await asyncio.sleep(0.01)
        assert longest < SHORT.total_seconds()
        assert await store.states(ids) == {State.INTERRUPTED}
        assert it.generations.live(mine) is not None


async def test_what_was_left_is_adopted_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "_ADOPTED_AT_ONCE", 3)
    store = Busy()
    ids = await store.left_by_the_dead(8)
    async with chat(store) as it:
        await it.keeper.take_over(it.generations)
        assert store.rounds == [3, 3, 2, 0]
        assert await store.states(ids) == {State.INTERRUPTED}
        assert len(store.usage) == len(ids)


async def test_a_start_waits_for_no_more_than_a_while_and_all_ends_nevertheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases_module, "_ADOPTED_AT_ONCE", 5)
    monkeypatch.setattr(leases_module, "_START_SECONDS", 0.05)
    store = Busy()
    ids, store.pause = await store.left_by_the_dead(20), 0.02
    async with chat(store) as it, kept(it, SHORT):
        await asyncio.wait_for(it.keeper.take_over(it.generations), 2)
        assert State.RUNNING in await store.states(ids)
        store.pause = 0.0
        await until(lambda: len(store.usage) == len(ids), 5.0)
        assert await store.states(ids) == {State.INTERRUPTED}


async def test_a_renewal_that_hangs_does_not_cost_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "_SHORTEST_ATTEMPT_SECONDS", 0.05)
    store = Busy()
    async with chat(store) as it, kept(it, SHORT) as keeper:
        store.renewal_pause = 60.0
        await until(lambda: keeper.unrenewed_seconds > 0.15)
        store.renewal_pause, renewals = 0.0, store.renewals
        await until(lambda: store.renewals > renewals)
        assert keeper.is_kept


async def test_while_the_store_is_slow_nobody_is_taken_for_dead() -> None:
    store = Busy()
    store.renewal_pause = 0.25
    async with chat(store) as it, kept(it, SHORT):
        ids = await store.left_by_the_dead(1)
        await until(lambda: store.renewals > 3)
        assert store.rounds == []
        store.renewal_pause, renewals = 0.0, store.renewals
        await until(lambda: store.rounds)
        # The others get the time to renew.
        assert store.renewals > renewals + 2
        await until(lambda: len(store.usage) == 1)
        assert await store.states(ids) == {State.INTERRUPTED}
