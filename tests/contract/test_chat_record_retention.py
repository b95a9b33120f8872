"""What a RecordStore forgets, and what it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.chat.ports import RecordStore
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.warming import warm
from services.infra.postgres.database import Database
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_records import begun, completed, new_generation, new_session
from tests.fakes.chat_stores import mongo_stores


@pytest.fixture(params=["memory", "postgres", pytest.param("mongo", marks=pytest.mark.peers)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[RecordStore]:
    if request.param == "memory":
        yield MemoryRecordStore()
        return
    if request.param == "mongo":
        async with mongo_stores(request.getfixturevalue("mongo_url")) as stores:
            yield stores.records
        return
    async with Database(request.getfixturevalue("migrated_url"), warm=[warm]) as database:
        yield SqlRecordStore(database)


async def test_old_answers_without_a_session_are_forgotten_and_others_stay(store: RecordStore) -> None:
    loose = new_generation()
    kept = new_generation(user_id="u1", session=new_session("u1"))
    running = new_generation()
    lease = await begun(store, loose)
    for new in (kept, running):
        assert await store.begin(lease, new) is None
    for new in (loose, kept):
        assert await store.finish(lease, new.generation, completed(new, 2, "done"), None)
    assert await store.forget_answers(timedelta(hours=1), 10) == 0
    assert await store.forget_answers(timedelta(seconds=-60), 10) == 1
    assert await store.generation(loose.generation.generation_id) is None
    assert await store.events(loose.generation.generation_id, 0, 10) == []
    for new in (kept, running):
        assert await store.generation(new.generation.generation_id) is not None
