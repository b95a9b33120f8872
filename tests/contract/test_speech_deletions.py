"""What is left in Speech of a person who was deleted."""

from __future__ import annotations

import uuid

import pytest

from services.capabilities.generations.model import State
from services.capabilities.metering.model import UsageStatus
from services.kernel.failures import Failure
from services.kernel.ids import new_id
from services.speech.model import Conversion, Generation
from services.speech.stores.deletions import SqlDeletions
from tests.fakes.speech_stores import DIGEST, USED, SpeechStores, conversion_of, event_of

FAILURE = Failure(9, "PROVIDER_REFUSED", "no secreto please", {"text": "secreto"}, 1.0)
BOOKS = (
    "select event_id, event_status, latency, first_audio, characters, audio_milliseconds"
    " from speech.generations order by 1"
)


class Deleting:
    """What removes people from Speech's tables; what it cancelled stands in `cancelled`."""

    def __init__(self, tables: SpeechStores) -> None:
        assert tables.database is not None
        self.tables = tables
        self.cancelled: list[str] = []
        self.remove = SqlDeletions(tables.database, self.cancelled.append).remove

    async def completed(self, user_id: str) -> Conversion:
        made = await self.tables.started(user_id=user_id, request_id=str(uuid.uuid4()))
        conversion = conversion_of(made)
        await self.tables.store.complete(conversion, USED, event_of(made))
        return conversion

    async def failed(self, user_id: str) -> Generation:
        made = await self.tables.started(user_id=user_id, request_id=str(uuid.uuid4()))
        event = event_of(made, UsageStatus.ERROR, FAILURE.reason)
        ending = (made.generation_id, State.FAILED, FAILURE, USED, event)
        await self.tables.store.end(*ending, free=False, remove=True)
        return made

    async def dump(self) -> str:
        """Every row of every table, bytes as they are."""
        tables = await self.tables.rows("select tablename from pg_tables where schemaname = 'speech'")
        found = [await self.tables.rows(f"select t::text from speech.{name} t") for (name,) in tables]
        payloads = await self.tables.rows("select encode(payload, 'escape') from speech.outbox")
        return "\n".join(text for rows in [*found, payloads] for (text,) in rows)


@pytest.fixture
def deleting(conversion_tables: SpeechStores) -> Deleting:
    return Deleting(conversion_tables)


async def test_what_a_person_made_goes_and_what_was_used_stays(deleting: Deleting) -> None:
    tables, ana, ben = deleting.tables, new_id(), new_id()
    hers, failed = await deleting.completed(ana), await deleting.failed(ana)
    his, nobodys = await deleting.completed(ben), await deleting.completed("")
    used = await tables.rows(BOOKS)
    quantities = [list(event.quantities) for event in await tables.events()]
    assert await deleting.remove(ana)
    assert deleting.cancelled == []

    dump = await deleting.dump()
    for gone in (ana, f"key of {ana}", hers.request_id, failed.request_id, "secreto"):
        assert gone not in dump
    for kept in (his, nobodys):
        assert await tables.store.conversion(kept.conversion_id) == kept
        caller = kept.user_id or "anonymous"
        assert await tables.store.claimed(caller, kept.request_id, DIGEST) == kept.conversion_id
    assert await tables.rows(BOOKS) == used
    assert [list(event.quantities) for event in await tables.events()] == quantities
    found = await tables.store.generation(failed.generation_id)
    assert found is not None
    assert found.failure == Failure(9, "PROVIDER_REFUSED", "")
    assert set(await tables.due()) == {hers.conversion_id, failed.generation_id}
    assert await deleting.remove(ana), "repeating it is safe"


async def test_nobody_is_no_person_to_be_deleted(deleting: Deleting) -> None:
    nobodys = await deleting.completed("")
    for user_id in ("", "anonymous"):
        await deleting.remove(user_id)
    assert await deleting.tables.store.conversion(nobodys.conversion_id) == nobodys


async def test_what_runs_is_asked_to_end_and_goes_once_it_has(deleting: Deleting) -> None:
    tables, ana = deleting.tables, new_id()
    made = await tables.started(user_id=ana)
    earlier = await deleting.completed(ana)
    assert not await deleting.remove(ana)
    assert deleting.cancelled == [made.generation_id]
    assert await tables.store.conversion(earlier.conversion_id) is None
    assert await tables.store.complete(conversion_of(made), USED, event_of(made))
    assert await deleting.remove(ana)
    assert await tables.store.conversion(made.generation_id) is None
    assert ana not in await deleting.dump()
