"""Whatever is done to Image's index, and in whatever order: PostgreSQL's says what the one in memory says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.capabilities.generations.model import State
from services.image.model import Filing, Generation
from services.kernel.failures import Failure
from services.kernel.paging import PageRequest
from tests.fakes.image_stores import (
    DIGEST,
    TTL,
    ImageStores,
    event_of,
    images_of,
    memory_images,
    new_generation,
)

FAILURE = Failure(14, "PROVIDER_UNAVAILABLE", "gone", {}, 1.0)
HALF, HOUR = TTL / 2, timedelta(hours=1)
OWNERS = ("00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b")
CALLS = st.integers(0, 3)
OWNER = st.sampled_from(OWNERS)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), CALLS, OWNER),
        st.tuples(st.just("complete"), CALLS),
        st.tuples(st.just("end"), CALLS, st.booleans(), st.integers(0, 2)),
        st.tuples(st.just("renew"), OWNER),
        st.tuples(st.just("delete"), CALLS, st.sampled_from(("ana", None))),
        st.tuples(st.just("forget"), CALLS),
        st.tuples(st.just("restore"), CALLS),
        st.tuples(st.just("expire"), st.just(0)),
        st.tuples(st.just("prune"), st.just(0)),
        st.tuples(st.just("take"), OWNER, st.booleans()),
        st.tuples(st.just("filed"), OWNER),
        st.tuples(st.just("failed"), OWNER),
        st.tuples(st.just("leave"), OWNER),
        st.tuples(st.just("time"), st.sampled_from((HALF, HOUR))),
    ),
    max_size=25,
)


class Played:
    """One of the stores, with what its owners have taken of it."""

    def __init__(self, stores: ImageStores, calls: Sequence[Generation]) -> None:
        self.stores, self.store, self.calls = stores, stores.store, calls
        self.events = [event_of(call) for call in calls]
        self.taken: dict[str, Sequence[Filing]] = dict.fromkeys(OWNERS, ())

    async def step(self, kind: str, who: Any, *more: Any) -> object:
        """Do it, and tell what came of it, without what may differ."""
        result = await getattr(self, f"_{kind}")(who, *more)
        silent = await self.store.silent(10)
        page = await self.store.page(None, PageRequest(10))
        calls = [await self.store.generation(call.generation_id) for call in self.calls]
        states = [call and (call.state, call.failure, call.end_time) for call in calls]
        return result, silent, page, states, await self.store.unfiled(), await self.stores.waiting()

    async def _begin(self, call: int, owner_id: str) -> object:
        return await self.store.begin(owner_id, TTL, self.calls[call], DIGEST)

    async def _complete(self, call: int) -> object:
        made = self.calls[call]
        return await self.store.complete(made.generation_id, images_of(made), self.events[call])

    async def _end(self, call: int, remove: bool, again: int) -> object:
        id_, event = self.calls[call].generation_id, self.events[call]
        return await self.store.end(
            id_, State.FAILED, FAILURE, event, free=remove, remove=remove, again=again
        )

    async def _renew(self, owner_id: str) -> None:
        await self.store.renew(owner_id, TTL, [call.generation_id for call in self.calls])

    async def _delete(self, call: int, user_id: str | None) -> object:
        return await self.store.delete(self.calls[call].image_ids[0], user_id)

    async def _forget(self, call: int) -> object:
        return await self.store.forget(self.calls[call].image_ids)

    async def _restore(self, call: int) -> object:
        return await self.store.restore(images_of(self.calls[call]))

    async def _expire(self, _: int) -> object:
        return await self.store.expire(self.calls[-1].create_time + HOUR, 10)

    async def _prune(self, _: int) -> object:
        return await self.store.prune(self.calls[-1].create_time + HOUR, HOUR * 2, 10)

    async def _take(self, owner_id: str, named: bool) -> object:
        group = f"ana/{self.calls[0].create_time.date()}" if named else ""
        self.taken[owner_id] = await self.store.take(owner_id, TTL, group)
        return sorted(
            (
                filing.image_id,
                filing.group,
                filing.change.value,
                filing.attempts,
                filing.again,
                filing.image is None,
            )
            for filing in self.taken[owner_id]
        )

    async def _filed(self, owner_id: str) -> None:
        await self.store.filed(self.taken[owner_id], HOUR)

    async def _failed(self, owner_id: str) -> None:
        await self.store.failed(self.taken[owner_id], HALF)

    async def _leave(self, owner_id: str) -> None:
        await self.store.leave(owner_id, [filing.group for filing in self.taken[owner_id]])

    async def _time(self, time: timedelta) -> None:
        await self.stores.pass_time(time)


@pytest.mark.long
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("begin", 0, OWNERS[0]), ("restore", 0), ("end", 0, True, 0), ("restore", 0)])
@example(
    [
        ("begin", 0, OWNERS[0]),
        ("end", 0, True, 1),
        ("restore", 0),
        ("delete", 0, None),
        ("take", OWNERS[1], True),
    ]
)
@example(
    [
        ("begin", 0, OWNERS[0]),
        ("restore", 0),
        ("delete", 0, None),
        ("end", 0, True, 1),
        ("take", OWNERS[1], True),
    ]
)
@given(STEPS)
async def test_postgres_says_what_memory_says(indexes: ImageStores, steps: list[tuple[Any, ...]]) -> None:
    await indexes.empty()
    calls = [new_generation("ana", count=2), new_generation("ana"), new_generation("ben"), new_generation("")]
    one, other = Played(memory_images(), calls), Played(indexes, calls)
    other.events = one.events
    for step in steps:
        assert await one.step(*step) == await other.step(*step), step
