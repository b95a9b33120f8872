"""What calls hold of a process's memory is bounded, and none of them waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.budget import ByteBudget, Share

LARGEST = 60
calls = st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=3), min_size=1, max_size=6)


@given(calls, st.integers(0, 10), st.sets(st.integers(0, 5)))
def test_calls_that_grow_all_come_to_their_end_within_the_bound(
    calls: Sequence[Sequence[int]], free: int, gone: set[int]
) -> None:
    budget, most = ByteBudget(LARGEST + 25, largest=LARGEST, free=free), 0

    async def one(pieces: Sequence[int]) -> None:
        nonlocal most
        with budget.share() as share:
            for piece in pieces:
                await share.grow(piece)
                most = max(most, budget.held_bytes)
                await asyncio.sleep(0)
            share.shrink(pieces[0])
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(one(pieces)) for pieces in calls]
        await asyncio.sleep(0)
        for index in gone & set(range(len(tasks))):
            tasks[index].cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert all(found is None or isinstance(found, asyncio.CancelledError) for found in done)

    asyncio.run(all_of_them())
    assert most <= LARGEST + 25
    assert budget.held_bytes == 0


async def test_who_waits_first_is_served_first_and_one_that_leaves_holds_up_nobody() -> None:
    budget = ByteBudget(10)
    share, served = Share(budget), list[str]()
    assert share.take(10)

    async def waits(name: str, count: int) -> None:
        await Share(budget).grow(count)
        served.append(name)

    ahead = Share(budget)
    await ahead.grow(1)
    tasks = [asyncio.create_task(waits(name, count)) for name, count in (("a", 9), ("b", 4), ("c", 2))]
    await asyncio.sleep(0)
    tasks[0].cancel()
    share.shrink(5)
    await asyncio.wait(tasks[1:2], timeout=5)
    assert served == ["b"]
    ahead.release()
    await asyncio.wait(tasks, timeout=5)
    assert served == ["b", "c"]


async def test_one_behind_another_that_leaves_goes_on_at_once() -> None:
    budget = ByteBudget(10)
    one, ahead, large, small = (Share(budget) for _ in range(4))
    assert one.take(5)
    await ahead.grow(6)
    one.shrink(3)
    waiting = [asyncio.create_task(share.grow(count)) for share, count in ((large, 5), (small, 2))]
    await asyncio.sleep(0)
    assert large.lacks_room
    assert small.lacks_room
    waiting[0].cancel()
    await asyncio.wait(waiting, timeout=5)
    assert small.held_bytes == 2


async def test_what_is_small_never_waits() -> None:
    budget = ByteBudget(10, free=3)
    large = Share(budget)
    assert large.take(13)
    async with asyncio.timeout(5):
        await Share(budget).grow(3)
    assert budget.held_bytes == 10


def test_what_has_no_room_takes_none() -> None:
    budget = ByteBudget(10)
    one, other = Share(budget), Share(budget)
    assert one.take(7)
    assert not other.take(4)
    assert other.take(3)
    one.release()
    one.release()
    assert (budget.held_bytes, other.held_bytes) == (3, 3)


@pytest.mark.parametrize("is_served", [False, True])
async def test_a_call_that_is_cancelled_while_it_waits_holds_nothing_more(is_served: bool) -> None:
    budget = ByteBudget(10)
    one, other, third = Share(budget), Share(budget), Share(budget)
    assert one.take(10)
    await third.grow(1)
    waiting = asyncio.create_task(other.grow(5))
    await asyncio.sleep(0)
    assert other.lacks_room
    if is_served:
        one.release()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert budget.held_bytes == (1 if is_served else 11)
