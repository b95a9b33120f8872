"""What an older version left in MongoDB is delivered, too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.chat.stores.mongo.outbox import MARK_SECONDS, MongoOutbox
from services.infra.mongo.client import Mongo
from services.kernel.ids import new_id
from tests.fakes.chat_stores import ChatStores, on_mongo

pytestmark = pytest.mark.peers


@pytest.fixture
async def mongo(mongo_url: str) -> AsyncIterator[Mongo]:
    async with Mongo(mongo_url) as opened:
        await opened.ensure_indexes({**GENERATION_INDEXES, **SESSION_INDEXES})
        yield opened


async def older(mongo: Mongo, stores: ChatStores, count: int) -> None:
    """Generations that ended when nothing was marked."""
    for _ in range(count):
        await stores.answered("ana", None)
    await mongo["chat_generations"].update_many({}, {"$unset": {"unshipped": "", "time_to_first_token": ""}})


async def test_events_of_an_older_version_are_delivered(mongo: Mongo) -> None:
    stores, outbox = on_mongo(mongo), MongoOutbox(mongo)
    await older(mongo, stores, 3)
    found = await outbox.take(new_id(), 10, 10**9)
    assert len(found) == 3
    assert [event.event_id for event in found] == sorted(event.event_id for event in found)


async def test_events_that_an_older_replica_writes_later_are_delivered_within_minutes(mongo: Mongo) -> None:
    now = [0.0]
    stores, outbox, owner = on_mongo(mongo), MongoOutbox(mongo, lambda: now[0]), new_id()
    assert not await outbox.take(owner, 10, 10**9)
    await older(mongo, stores, 2)
    # Not with every look.
    assert not await outbox.take(owner, 10, 10**9)
    now[0] += MARK_SECONDS
    found = await outbox.take(owner, 10, 10**9)
    assert len(found) == 2
    await outbox.remove([event.event_id for event in found])
    now[0] += MARK_SECONDS
    assert not await outbox.take(owner, 10, 10**9)


async def test_a_new_start_looks_at_once(mongo: Mongo) -> None:
    stores, owner = on_mongo(mongo), new_id()
    assert not await MongoOutbox(mongo).take(owner, 10, 10**9)
    await older(mongo, stores, 1)
    assert len(await MongoOutbox(mongo).take(owner, 10, 10**9)) == 1


async def test_a_generation_that_was_kept_for_its_event_goes_with_it(mongo: Mongo) -> None:
    stores, outbox, owner = on_mongo(mongo), MongoOutbox(mongo), new_id()
    await stores.answered("", None)
    await mongo["chat_generations"].update_many({}, {"$set": {"gone": True}})
    (event,) = await outbox.take(owner, 10, 10**9)
    await outbox.remove([event.event_id])
    assert await mongo["chat_generations"].count_documents({}) == 0
