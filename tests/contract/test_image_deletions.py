"""What is left in Image of a person who was deleted."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from services.capabilities.generations.model import State
from services.capabilities.metering.model import UsageStatus
from services.image.model import Change, Generation, Image
from services.image.stores.deletions import SqlDeletions
from services.kernel.failures import Failure
from services.kernel.ids import new_id
from tests.fakes.image_stores import DIGEST, TTL, ImageStores, event_of, ids, images_of

FAILURE = Failure(9, "PROVIDER_REFUSED", "no secreto please", {"prompt": "secreto"}, 1.0)


class Deleting:
    """What removes people from Image's tables; what it cancelled and erased stands in `cancelled` and `erased`."""

    def __init__(self, indexes: ImageStores) -> None:
        assert indexes.database is not None
        self.indexes = indexes
        self.cancelled: list[str] = []
        self.erased: list[str] = []
        self.remove = SqlDeletions(indexes.database, self.cancelled.append, self._erase).remove

    async def _erase(self, user_id: str) -> None:
        assert await self.indexes.rows("select from image.images where user_id = %(id)s", id=user_id) == []
        self.erased.append(user_id)

    async def completed(self, user_id: str) -> list[Image]:
        made = await self.indexes.started(user_id=user_id, count=2, request_id=str(uuid.uuid4()))
        images = images_of(made)
        await self.indexes.store.complete(made.generation_id, images, event_of(made))
        return images

    async def failed(self, user_id: str) -> Generation:
        made = await self.indexes.started(user_id=user_id, request_id=str(uuid.uuid4()))
        event = event_of(made, UsageStatus.ERROR, FAILURE.reason)
        await self.indexes.store.end(
            made.generation_id, State.FAILED, FAILURE, event, free=False, remove=True
        )
        return made

    async def dump(self, *, but: str) -> str:
        """Every row of every table but one, bytes as they are."""
        tables = await self.indexes.rows("select tablename from pg_tables where schemaname = 'image'")
        found = [
            await self.indexes.rows(f"select t::text from image.{name} t")
            for (name,) in tables
            if name != but
        ]
        payloads = await self.indexes.rows("select encode(payload, 'escape') from image.outbox")
        return "\n".join(text for rows in [*found, payloads] for (text,) in rows)


@pytest.fixture
def deleting(indexes: ImageStores) -> Deleting:
    return Deleting(indexes)


async def test_what_a_person_made_goes_and_what_was_used_stays(deleting: Deleting) -> None:
    indexes, ana, ben = deleting.indexes, new_id(), new_id()
    hers, failed = await deleting.completed(ana), await deleting.failed(ana)
    his = await deleting.completed(ben)
    used = await indexes.rows(
        "select event_id, event_status, latency, images from image.generations order by 1"
    )
    quantities = [list(event.quantities) for event in await indexes.events()]
    assert await deleting.remove(ana)
    assert (deleting.erased, deleting.cancelled) == ([ana], [])

    dump = await deleting.dump(but="filings")
    for gone in (ana, hers[0].request_id, failed.request_id, "secreto"):
        assert gone not in dump
    assert dump.count("a cat") == 2, "Ben's images are left"
    assert ids(await indexes.store.images_of(his[0].generation_id)) == ids(his)
    assert await indexes.store.claimed(ben, his[0].request_id, DIGEST) == his[0].generation_id
    books = "select event_id, event_status, latency, images from image.generations order by 1"
    assert await indexes.rows(books) == used
    assert [list(event.quantities) for event in await indexes.events()] == quantities
    found = await indexes.store.generation(failed.generation_id)
    assert found is not None
    assert found.failure == Failure(9, "PROVIDER_REFUSED", "")

    filings = await indexes.taken()
    assert {id_: filing.change for id_, filing in filings.items() if filing.change is not Change.ADD} == {
        **dict.fromkeys(ids(hers), Change.REMOVE),
        **dict.fromkeys(failed.image_ids, Change.DISCARD),
    }
    assert {filings[id_].user_id for id_ in ids(hers)} == {ana}, "their lines are to go as well"
    await indexes.filed()
    assert ana not in await deleting.dump(but="")
    assert await deleting.remove(ana), "repeating it is safe"


async def test_what_runs_is_asked_to_end_and_goes_once_it_has(deleting: Deleting) -> None:
    indexes, ana = deleting.indexes, new_id()
    made = await indexes.started(user_id=ana)
    await deleting.completed(ana)
    assert not await deleting.remove(ana)
    assert (deleting.cancelled, deleting.erased) == ([made.generation_id], [])
    assert (await page_of(indexes, ana)) == 0
    assert await indexes.store.complete(made.generation_id, images_of(made), event_of(made))
    assert await deleting.remove(ana)
    assert (await page_of(indexes, ana), deleting.erased) == (0, [ana])
    assert ana not in await deleting.dump(but="filings")


async def test_a_person_s_files_go_once_nobody_is_at_them(deleting: Deleting) -> None:
    indexes, ana, owner_id = deleting.indexes, new_id(), new_id()
    await deleting.completed(ana)
    taken = await indexes.store.take(owner_id, TTL)
    assert not await deleting.remove(ana)
    assert deleting.erased == []
    await indexes.store.leave(owner_id, [taken[0].group])
    assert await deleting.remove(ana)
    assert deleting.erased == [ana]


async def page_of(indexes: ImageStores, user_id: str) -> Any:
    """How many images there are of somebody."""
    return (await indexes.rows("select count(*) from image.images where user_id = %(id)s", id=user_id))[0][0]
