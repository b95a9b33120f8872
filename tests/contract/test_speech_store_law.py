"""Whatever is done to Speech's table, and in whatever order: PostgreSQL's says what the one in memory says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.capabilities.generations.model import State
from services.kernel.failures import Failure
from services.kernel.paging import PageRequest
from services.speech.model import Generation, Removal
from tests.fakes.speech_stores import (
    DIGEST,
    TTL,
    USED,
    SpeechStores,
    conversion_of,
    event_of,
    memory_conversions,
    new_generation,
)

FAILURE = Failure(14, "PROVIDER_UNAVAILABLE", "gone", {}, 1.0)
HALF, HOUR = TTL / 2, timedelta(hours=1)
# No sum of the times that go by: what a clock that stands still says of that very moment, one that runs does not.
OLD = HOUR * 2 + HALF / 2
OWNERS = ("00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b")
CALLS = st.integers(0, 3)
OWNER = st.sampled_from(OWNERS)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), CALLS, OWNER),
        st.tuples(st.just("complete"), CALLS),
        st.tuples(st.just("end"), CALLS, st.booleans(), st.booleans(), st.integers(0, 2)),
        st.tuples(st.just("discard"), CALLS, st.integers(0, 2)),
        st.tuples(st.just("renew"), OWNER),
        st.tuples(st.just("delete"), CALLS, st.sampled_from(("ana", "", None))),
        st.tuples(st.just("expire")),
        st.tuples(st.just("prune")),
        st.tuples(st.just("due"), OWNER),
        st.tuples(st.just("removed"), OWNER),
        st.tuples(st.just("time"), st.sampled_from((HALF, HOUR))),
    ),
    max_size=25,
)


class Played:
    """One of the stores, with the removals that its sweepers are at."""

    def __init__(self, stores: SpeechStores, calls: Sequence[Generation]) -> None:
        self.stores, self.store, self.calls = stores, stores.store, calls
        self.events = [event_of(call) for call in calls]
        self.taken: dict[str, Sequence[Removal]] = dict.fromkeys(OWNERS, ())

    async def step(self, kind: str, *what: Any) -> object:
        """Do it, and tell what came of it."""
        result = await getattr(self, f"_{kind}")(*what)
        silent = await self.store.silent(10)
        pages = [await self.store.page(user_id, PageRequest(2)) for user_id in ("ana", "", None)]
        calls = [await self.store.generation(call.generation_id) for call in self.calls]
        states = [call and (call.state, call.failure, call.end_time) for call in calls]
        return result, silent, pages, states, await self.store.unremoved(), await self.stores.waiting()

    async def _begin(self, call: int, owner_id: str) -> object:
        return await self.store.begin(owner_id, TTL, self.calls[call], DIGEST)

    async def _complete(self, call: int) -> object:
        return await self.store.complete(conversion_of(self.calls[call]), USED, self.events[call])

    async def _end(self, call: int, remove: bool, silent: bool, again: int) -> object:
        ending = (self.calls[call].generation_id, State.FAILED, FAILURE, USED, self.events[call])
        return await self.store.end(*ending, free=remove, remove=remove, again=again, silent=silent)

    async def _discard(self, call: int, again: int) -> None:
        await self.store.discard(self.calls[call].generation_id, again)

    async def _renew(self, owner_id: str) -> None:
        await self.store.renew(owner_id, TTL, [call.generation_id for call in self.calls])

    async def _delete(self, call: int, user_id: str | None) -> object:
        return await self.store.delete(self.calls[call].generation_id, user_id)

    async def _expire(self) -> object:
        return await self.store.expire(self.calls[-1].create_time + HOUR, 10)

    async def _prune(self) -> object:
        return await self.store.prune(self.calls[-1].create_time + HOUR, OLD, 10)

    async def _due(self, owner_id: str) -> object:
        self.taken[owner_id] = await self.store.due(HALF, 10)
        return {removal.conversion_id: removal for removal in self.taken[owner_id]}

    async def _removed(self, owner_id: str) -> None:
        await self.store.removed(self.taken[owner_id], HOUR)

    async def _time(self, time: timedelta) -> None:
        await self.stores.pass_time(time)


@pytest.mark.long
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    [
        ("begin", 0, OWNERS[0]),
        ("end", 0, True, False, 1),
        ("due", OWNERS[0]),
        ("discard", 0, 1),
        ("removed", OWNERS[0]),
        ("due", OWNERS[1]),
        ("removed", OWNERS[1]),
        ("removed", OWNERS[0]),
        ("time", HOUR),
        ("due", OWNERS[0]),
    ]
)
@given(STEPS)
async def test_postgres_says_what_memory_says(
    conversion_tables: SpeechStores, steps: list[tuple[Any, ...]]
) -> None:
    await conversion_tables.empty()
    request_id = "5f0c8f0e-7f0b-4a63-9d0f-0d2a1f3c9b10"
    people = (("ana", request_id), ("ana", request_id), ("ben", ""), ("", request_id))
    calls = [new_generation(user_id, request_id=id_) for user_id, id_ in people]
    one, other = Played(memory_conversions(), calls), Played(conversion_tables, calls)
    other.events = one.events
    for step in steps:
        assert await one.step(*step) == await other.step(*step), step
