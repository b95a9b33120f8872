"""What happens to Speech's table on PostgreSQL when several are at it at once, or it is away."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import timedelta

import pytest

from services.capabilities.generations.model import State
from services.capabilities.metering.model import UsageStatus
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.speech.model import Used
from services.speech.stores import statements
from services.speech.stores.records import SqlConversionStore
from tests.fakes.speech_stores import (
    DIGEST,
    PAUSE,
    TTL,
    USED,
    SpeechStores,
    conversion_of,
    event_of,
    new_generation,
)

HOUR = timedelta(hours=1)


async def test_of_many_calls_with_a_request_id_one_begins(conversion_tables: SpeechStores) -> None:
    request_id = str(uuid.uuid4())
    calls = [new_generation(request_id=request_id) for _ in range(6)]
    store = conversion_tables.store
    answers = await asyncio.gather(*(store.begin(new_id(), TTL, call, DIGEST) for call in calls))
    assert answers.count(None) == 1
    (first,) = [call for call, answer in zip(calls, answers, strict=True) if answer is None]
    assert {answer for answer in answers if answer} == {first.generation_id}
    begun = await conversion_tables.rows("select generation_id::text from speech.generations")
    assert begun == [(first.generation_id,)]


async def test_a_generation_is_completed_or_interrupted_never_both(conversion_tables: SpeechStores) -> None:
    store, other = conversion_tables.store, conversion_tables.other
    for _ in range(6):
        made = await conversion_tables.started()
        late = event_of(made, UsageStatus.ERROR, "GENERATION_INTERRUPTED")
        ending = (made.generation_id, State.INTERRUPTED, None, USED, late)
        ends = [
            store.complete(conversion_of(made), USED, event_of(made)),
            other.end(*ending, free=True, remove=True),
        ]
        random.shuffle(ends)
        assert sorted(await asyncio.gather(*ends)) == [False, True]
        found = await store.generation(made.generation_id)
        there = await store.conversion(made.generation_id) is not None
        removal = bool(await conversion_tables.due())
        assert found is not None
        assert (found.state, there, removal) in (
            (State.COMPLETED, True, False),
            (State.INTERRUPTED, False, True),
        )
    assert len(await conversion_tables.waiting()) == 6


async def test_of_calls_at_the_same_time_each_gets_other_removals(conversion_tables: SpeechStores) -> None:
    made = [await conversion_tables.completed() for _ in range(12)]
    store, other = conversion_tables.store, conversion_tables.other
    await asyncio.gather(*(store.delete(one.conversion_id, "ana") for one in made))
    assert conversion_tables.database is not None
    async with conversion_tables.database.connection() as connection:
        # What a third one is at is passed over, and not waited for.
        await connection.execute("begin")
        held = await connection.execute(
            "select conversion_id::text from speech.removals order by 1 limit 2 for update"
        )
        at_work = {row[0] for row in await held.fetchall()}
        taken = await asyncio.gather(*(one.due(PAUSE, 3) for one in (store, other) * 2))
        await connection.execute("rollback")
    found = [removal.conversion_id for removals in taken for removal in removals]
    assert len(found) == len(set(found)) == 10
    assert {one.conversion_id for one in made} - set(found) == at_work
    await asyncio.gather(
        *(one.removed(part, HOUR) for one in (store, other) for part in (*taken, *taken[::-1]))
    )
    assert await store.unremoved() == 2


async def test_events_are_told_again_as_they_were(conversion_tables: SpeechStores) -> None:
    rows, store = conversion_tables.rows, conversion_tables.store
    made = await conversion_tables.started(request_id=str(uuid.uuid4()))
    await store.complete(conversion_of(made), USED, event_of(made))
    failed = await conversion_tables.started(user_id="")
    ended = event_of(failed, UsageStatus.CANCELLED, "CANCELLED", Used(3, 0), time_to_first_token=None)
    ending = (failed.generation_id, State.CANCELLED, None, Used(3, 0), ended)
    await store.end(*ending, free=True, remove=True)
    first, second = await conversion_tables.events()
    assert (first.operation, first.time_to_first_token.ToMilliseconds()) == ("StreamSynthesize", 40)
    assert not second.HasField("time_to_first_token")
    before = await rows("select event_id, user_id, payload from speech.outbox order by event_id")
    (aside, _, _), _ = before
    await rows("delete from speech.outbox where event_id <> %(aside)s returning 1", aside=aside)
    await rows("update speech.outbox set set_aside = 'refused' returning 1")
    span = (made.create_time - HOUR, made.create_time + HOUR)
    assert (await store.redeliver(*span, "", 10)).event_count == 2
    assert before == await rows(
        "select event_id, user_id, payload from speech.outbox where set_aside is null order by event_id"
    )


async def test_what_is_deleted_while_it_expires_is_deleted_once(conversion_tables: SpeechStores) -> None:
    made = await conversion_tables.completed(user_id="")
    assert conversion_tables.database is not None
    async with conversion_tables.database.connection() as connection:
        await connection.execute("begin")
        values = {"conversion_id": made.conversion_id, "user_id": None}
        await connection.execute(statements.DELETE.encode(), values)
        assert await conversion_tables.other.expire(made.create_time + HOUR, 10) == 0
        await connection.execute("commit")
    assert set(await conversion_tables.due()) == {made.conversion_id}


async def test_an_owner_that_makes_nothing_learns_of_an_outage_too() -> None:
    # It is what tells whoever takes over that the others could not renew either.
    never_opened = Database("postgresql://nobody@127.0.0.1:1/away")
    with pytest.raises(Unavailable):
        await SqlConversionStore(never_opened).renew(new_id(), TTL, [])
