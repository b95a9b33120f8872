"""What happens to Image's index on PostgreSQL when several are at it at once."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from services.capabilities.generations.model import State
from services.capabilities.metering.model import UsageStatus
from services.image.model import Change
from services.image.stores import statements
from services.image.stores.records import SqlImageStore
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.image_stores import DIGEST, TTL, ImageStores, event_of, ids, images_of, new_generation

HOUR = timedelta(hours=1)
POLL_SECONDS = 0.005


@asynccontextmanager
async def waiting_for_it(
    indexes: ImageStores, work: Coroutine[Any, Any, Any]
) -> AsyncIterator[asyncio.Task[Any]]:
    """The work, once it waits for a lock that somebody else holds."""
    blocked = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    task = asyncio.create_task(work)
    try:
        async with asyncio.timeout(5):
            while True:
                if task.done() or await indexes.rows(blocked):
                    break
                await asyncio.sleep(POLL_SECONDS)
        yield task
    finally:
        task.cancel()


async def test_of_many_calls_with_a_request_id_one_begins(indexes: ImageStores) -> None:
    request_id = str(uuid.uuid4())
    calls = [new_generation(request_id=request_id) for _ in range(6)]
    answers = await asyncio.gather(*(indexes.store.begin(new_id(), TTL, call, DIGEST) for call in calls))
    assert answers.count(None) == 1
    (first,) = [call for call, answer in zip(calls, answers, strict=True) if answer is None]
    assert {answer for answer in answers if answer} == {first.generation_id}
    assert await indexes.rows("select generation_id::text from image.generations") == [(first.generation_id,)]


async def test_a_claim_that_is_given_up_is_there_for_who_waits(indexes: ImageStores) -> None:
    request_id = str(uuid.uuid4())
    first, second = new_generation(request_id=request_id), new_generation(request_id=request_id)
    assert indexes.database is not None
    async with indexes.database.connection() as connection:
        await connection.execute("begin")
        await connection.execute(
            "insert into image.claims (caller, request_id, digest, resource_id) values ('ana', %s, %s, %s)",
            (request_id, DIGEST, first.generation_id),
        )
        async with waiting_for_it(indexes, indexes.other.begin(new_id(), TTL, second, DIGEST)) as begun:
            await connection.execute("rollback")
            assert await begun is None
    assert await indexes.store.claimed("ana", request_id, DIGEST) == second.generation_id


async def test_a_generation_is_completed_or_interrupted_never_both(indexes: ImageStores) -> None:
    for _ in range(6):
        made = await indexes.started()
        late = event_of(made, UsageStatus.ERROR, "GENERATION_INTERRUPTED")
        ends = [
            indexes.store.complete(made.generation_id, images_of(made), event_of(made)),
            indexes.other.end(made.generation_id, State.INTERRUPTED, None, late, free=True, remove=True),
        ]
        random.shuffle(ends)
        assert sorted(await asyncio.gather(*ends)) == [False, True]
        found = await indexes.store.generation(made.generation_id)
        image = await indexes.store.image(made.image_ids[0])
        (filing,) = (await indexes.taken()).values()
        kept = (State.COMPLETED, True, Change.ADD)
        assert found is not None
        assert (found.state, image is not None, filing.change) in (
            kept,
            (State.INTERRUPTED, False, Change.DISCARD),
        )
        await indexes.filed()
    assert len(await indexes.waiting()) == 6


async def test_no_group_is_taken_by_two(indexes: ImageStores) -> None:
    made = [image for n in range(12) for image in await indexes.completed(user_id=f"u{n}", count=2)]
    owners = [new_id() for _ in range(4)]
    done: list[str] = []
    at_work: set[str] = set()

    async def work(owner_id: str, store: Any) -> None:
        while taken := await store.take(owner_id, TTL, limit=5):
            groups = {filing.group for filing in taken}
            assert not groups & at_work
            at_work.update(groups)
            await store.filed(taken, HOUR)
            done.extend(filing.image_id for filing in taken)
            at_work.difference_update(groups)
            await store.leave(owner_id, list(groups))

    stores = (indexes.store, indexes.other) * 2
    await asyncio.gather(*(work(owner, store) for owner, store in zip(owners, stores, strict=True)))
    await work(owners[0], indexes.store)
    assert sorted(done) == sorted(ids(made)), "each is done, and once"


async def test_what_a_group_s_last_owner_did_is_seen_by_the_next(indexes: ImageStores) -> None:
    (image,) = await indexes.completed()
    (filing,) = await indexes.store.take(new_id(), TTL)
    assert indexes.database is not None
    async with indexes.database.connection() as connection:
        # The owner's lease has run out, and the next one waits for its last transaction.
        await connection.execute("update image.filing_leases set expires_at = '-infinity'")
        await connection.execute("begin")
        await connection.execute("select from image.filing_leases for update")
        later = indexes.other.take(new_id(), TTL, filing.group)
        async with waiting_for_it(indexes, later) as taken:
            await connection.execute("delete from image.filings")
            await connection.execute("commit")
            assert await taken == []
    assert await indexes.rows("select from image.filing_leases") == [], "nobody is at what is not there"
    assert await indexes.store.image(image.image_id) == image


async def test_a_removal_is_not_lost_to_an_addition_that_is_filed(indexes: ImageStores) -> None:
    owner_id = new_id()
    images = await indexes.completed(count=10)
    taken = await indexes.store.take(owner_id, TTL)
    await asyncio.gather(
        *(indexes.store.filed([filing], HOUR) for filing in taken),
        *(indexes.other.delete(image.image_id, "ana") for image in images),
    )
    await indexes.store.leave(owner_id, [taken[0].group])
    found = await indexes.taken()
    assert {id_: filing.change for id_, filing in found.items()} == dict.fromkeys(ids(images), Change.REMOVE)


async def test_what_is_removed_while_the_index_is_made_anew_stays_out(indexes: ImageStores) -> None:
    (image,) = await indexes.completed()
    assert indexes.database is not None
    async with indexes.database.connection() as connection:
        await connection.execute("begin")
        await connection.execute(statements.DELETE.encode(), {"image_id": image.image_id, "user_id": "ana"})
        async with waiting_for_it(indexes, indexes.other.restore([image])) as restored:
            await connection.execute("commit")
            assert await restored == 0
    assert await indexes.store.image(image.image_id) is None
    assert {filing.change for filing in (await indexes.taken()).values()} == {Change.REMOVE}


async def test_events_are_told_again_as_they_were(indexes: ImageStores) -> None:
    made = await indexes.started(count=3, request_id=str(uuid.uuid4()))
    await indexes.store.complete(made.generation_id, images_of(made), event_of(made))
    failed = await indexes.started(user_id="")
    ended = event_of(failed, UsageStatus.CANCELLED, "CANCELLED")
    await indexes.store.end(failed.generation_id, State.CANCELLED, None, ended, free=True, remove=True)
    before = await indexes.rows("select event_id, user_id, payload from image.outbox order by event_id")
    (aside, _, _), _ = before
    await indexes.rows("delete from image.outbox where event_id <> %(aside)s returning 1", aside=aside)
    await indexes.rows("update image.outbox set set_aside = 'refused' returning 1")
    span = (made.create_time - HOUR, made.create_time + HOUR)
    assert (await indexes.store.redeliver(*span, "", 10)).event_count == 2
    assert before == await indexes.rows(
        "select event_id, user_id, payload from image.outbox where set_aside is null order by event_id"
    )


async def test_a_page_has_no_more_than_an_answer_has_room_for(indexes: ImageStores) -> None:
    await indexes.completed(count=5)
    await indexes.rows("update image.images set revised_prompt = repeat('x', 1024 * 1024) returning 1")
    first = await indexes.store.page("ana", PageRequest(5))
    assert (len(first.items), first.total_size) == (2, 5)
    second = await indexes.store.page("ana", PageRequest(5, first.after))
    await indexes.rows("update image.images set revised_prompt = repeat('x', 4 * 1024 * 1024) returning 1")
    third = await indexes.store.page("ana", PageRequest(5, second.after))
    assert (len(second.items), len(third.items), third.after) == (2, 1, None)


async def test_an_owner_that_makes_nothing_learns_of_an_outage_too() -> None:
    # It is what tells whoever takes over that the others could not renew either.
    never_opened = Database("postgresql://nobody@127.0.0.1:1/away")
    with pytest.raises(Unavailable):
        await SqlImageStore(never_opened).renew(new_id(), TTL, [])
