"""What every outbox promises the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from services.capabilities.metering.ports import Outbox, Waiting
from services.capabilities.metering.stores.sql import SqlOutbox
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.chat.stores.mongo.outbox import MongoOutbox
from services.infra.mongo.client import Mongo
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.metering_memory import MemoryOutbox, some_waiting, usage_event, waiting

MUCH = 10**9


@dataclass(frozen=True)
class Outboxes:
    """The same outbox as two processes see it; `expire` lets the time of a lease pass."""

    here: Outbox
    there: Outbox
    expire: Callable[[], Awaitable[None]]

    async def added(self, *events: Waiting) -> None:
        await self.here.add(events, ["ana" for _ in events])

    async def waits(self) -> list[Waiting]:
        """What is taken by somebody whose turn it is."""
        owner = new_id()
        found = await self.there.take(owner, 1000, MUCH)
        await self.there.leave(owner)
        return list(found)


@pytest.fixture(params=["memory", "postgres", pytest.param("mongo", marks=pytest.mark.peers)])
async def made(request: pytest.FixtureRequest) -> AsyncIterator[Outboxes]:
    if request.param == "memory":
        kept = MemoryOutbox()

        async def at_once() -> None:
            kept.expire()

        yield Outboxes(kept, kept, at_once)
        return
    async with AsyncExitStack() as stack:
        if request.param == "postgres":
            database = await stack.enter_async_context(
                Database(request.getfixturevalue("migrated_url"), min_size=1, max_size=2)
            )

            async def passed() -> None:
                async with database.connection() as connection:
                    await connection.execute("update chat.relay set until = until - interval '1 minute'")

            yield Outboxes(SqlOutbox(database, "chat"), SqlOutbox(database, "chat"), passed)
            return
        mongo = await stack.enter_async_context(Mongo(request.getfixturevalue("mongo_url")))
        await mongo.ensure_indexes(GENERATION_INDEXES)
        now = [0.0]

        async def later() -> None:
            now[0] += 60.0

        yield Outboxes(MongoOutbox(mongo, lambda: now[0]), MongoOutbox(mongo, lambda: now[0]), later)


async def test_events_wait_in_the_order_of_their_ids_until_they_are_removed(made: Outboxes) -> None:
    events = some_waiting(5)
    await made.added(*events[3:], *events[:3])
    assert await made.here.take("a" * 32, 3, MUCH) == events[:3]
    assert await made.here.take("a" * 32, 3, MUCH) == events[:3]
    await made.here.remove([event.event_id for event in events[:2]])
    assert await made.here.take("a" * 32, 10, MUCH) == events[2:]
    await made.here.remove([event.event_id for event in events])
    assert list(await made.here.take("a" * 32, 10, MUCH)) == []


async def test_removing_what_is_gone_changes_nothing(made: Outboxes) -> None:
    (event,) = some_waiting(1)
    await made.here.remove([event.event_id])
    await made.added(event)
    await made.here.remove([new_id()])
    assert await made.waits() == [event]


async def test_what_is_there_already_is_left_alone(made: Outboxes) -> None:
    first = usage_event()
    other = waiting(usage_event())
    await made.added(waiting(first))
    await made.added(waiting(usage_event(event_id=first.event_id, model="another")), other)
    assert await made.waits() == [waiting(first), other]


async def test_a_batch_has_at_most_so_many_bytes_and_one_event_at_least(made: Outboxes) -> None:
    events = some_waiting(4)
    size = len(events[0].payload)
    await made.added(*events)
    owner = new_id()
    assert await made.here.take(owner, 10, size * 2) == events[:2]
    assert await made.here.take(owner, 10, size * 3 - 1) == events[:2]
    assert await made.here.take(owner, 10, 1) == events[:1]


async def test_one_process_delivers_at_a_time(made: Outboxes) -> None:
    events = some_waiting(2)
    await made.added(*events)
    assert await made.here.take(new_id(), 10, MUCH) == events
    assert list(await made.there.take(new_id(), 10, MUCH)) == []


async def test_of_many_that_ask_at_once_one_is_given_something(made: Outboxes) -> None:
    await made.added(*some_waiting(3))
    found = await asyncio.gather(
        *((made.here, made.there)[number % 2].take(new_id(), 10, MUCH) for number in range(10))
    )
    assert sorted(len(taken) for taken in found) == [0] * 9 + [3]


async def test_whoever_stops_lets_others_deliver_at_once(made: Outboxes) -> None:
    await made.added(*some_waiting(1))
    here, there = new_id(), new_id()
    assert await made.here.take(here, 10, MUCH)
    assert not await made.there.take(there, 10, MUCH)
    # Somebody else can't give it up.
    await made.there.leave(there)
    assert not await made.there.take(there, 10, MUCH)
    await made.here.leave(here)
    assert await made.there.take(there, 10, MUCH)
    assert not await made.here.take(here, 10, MUCH)


async def test_whoever_died_is_replaced_once_its_time_is_over(made: Outboxes) -> None:
    await made.added(*some_waiting(1))
    here, there = new_id(), new_id()
    assert await made.here.take(here, 10, MUCH)
    assert not await made.there.take(there, 10, MUCH)
    await made.expire()
    assert await made.there.take(there, 10, MUCH)
    assert not await made.here.take(here, 10, MUCH)


async def test_whoever_goes_on_asking_keeps_its_turn(made: Outboxes) -> None:
    await made.added(*some_waiting(1))
    here = new_id()
    for _ in range(3):
        assert await made.here.take(here, 10, MUCH)
        assert not await made.there.take(new_id(), 10, MUCH)


async def test_what_is_set_aside_is_kept_and_taken_no_more(made: Outboxes) -> None:
    events = some_waiting(3)
    await made.added(*events)
    await made.here.set_aside(events[1].event_id, "INVALID_ARGUMENT: it is bad")
    assert await made.waits() == [events[0], events[2]]
    backlog = await made.here.backlog()
    assert (backlog.events, backlog.set_aside) == (2, 1)
    # Nor does it come back by being added again.
    await made.added(events[1])
    assert await made.waits() == [events[0], events[2]]


async def test_the_backlog_tells_how_many_wait_and_for_how_long(made: Outboxes) -> None:
    empty = await made.here.backlog()
    assert (empty.events, empty.oldest_seconds, empty.set_aside) == (0, 0.0, 0)
    events = some_waiting(3)
    await made.added(*events)
    backlog = await made.here.backlog()
    assert backlog.events == 3
    assert 0 <= backlog.oldest_seconds < 60
    await made.here.remove([event.event_id for event in events])
    assert (await made.here.backlog()).events == 0


async def test_a_payload_comes_back_as_it_was(made: Outboxes) -> None:
    odd = Waiting(new_id(), bytes(range(256)) * 4)
    empty = Waiting(new_id(), b"")
    await made.here.add([odd, empty], ["", ""])
    assert await made.waits() == [odd, empty]
