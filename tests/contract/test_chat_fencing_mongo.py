"""An owner that is taken for dead and is not, and those who take over from it, in any order of their commands to MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chat.generation.merging import assembled
from services.chat.model import Generation, Lease, NewGeneration, State
from services.chat.ports import Flush, LeaseLost
from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.chat.stores.mongo.records import MongoRecordStore
from services.infra.mongo.client import Mongo
from services.kernel.ids import new_id
from tests.fakes.chat_records import TTL, adopted_by, completed, failed, new_generation, new_session, text
from tests.fakes.interleaved_mongo import InterleavedMongo, Turns

pytestmark = pytest.mark.peers

_WORDS = ("one ", "two ", "three ")
_OWNER, _FIRST_TAKER, _TAKER, _READER = range(4)


class Story:
    """What happened to the generations of one owner."""

    def __init__(self, mongo: Mongo, *, taker_dies: bool) -> None:
        self.turns = Turns()
        self.mongo = mongo
        self.taker_dies = taker_dies
        self.accepted: dict[str, str] = {}
        self.taken_back: set[str] = set()
        self.records: dict[str, Generation] = {}
        self.ends: list[str] = []
        self.returned: set[int] = set()

    def process(self, number: int) -> MongoRecordStore:
        """The store of a process."""
        return MongoRecordStore(cast(Any, InterleavedMongo(self.mongo, number, self.turns)))

    async def begin(self, store: MongoRecordStore, owner_id: str, new: NewGeneration) -> None:
        """The beginning of the owner and of a generation, undisturbed."""
        assert await store.begin(await store.acquire(owner_id, TTL), new) is None

    async def make(self, store: MongoRecordStore, lease: Lease, new: NewGeneration) -> None:
        """What an owner does until it is refused: appends, each after the fate of the one before, and the end."""
        id_ = new.generation.generation_id
        for seq, word in enumerate(_WORDS, 2):
            if await store.append(lease, [Flush(id_, [text(seq, seq, word)])]) != {id_}:
                return
            self.accepted[id_] = self.accepted.get(id_, "") + word
        whole = "".join(_WORDS)
        if await store.finish(lease, new.generation, completed(new, 5, whole), None):
            self.ends.append(id_)

    async def begin_and_make(self, store: MongoRecordStore, lease: Lease, new: NewGeneration) -> None:
        """The same of one that begins only now."""
        # So that its turn to begin may come at any time.
        await store.state(new.generation.generation_id)
        late = bool(self.returned)
        try:
            assert await store.begin(lease, new) is None
        except LeaseLost:
            self.taken_back.add(new.generation.generation_id)
            return
        assert not late, "it began after the take-over"
        await self.make(store, lease, new)

    async def take_over(self, number: int, store: MongoRecordStore, lease: Lease) -> None:
        """Adopt, and end what was adopted."""
        for generation in await adopted_by(store, lease, sole_owner=False):
            id_ = generation.generation_id
            assert self.taker_dies or id_ not in self.records, "it was adopted twice"
            self.records[id_] = generation
        self.returned.add(number)
        for id_, generation in list(self.records.items()):
            late = self.taker_dies and number == _FIRST_TAKER and _TAKER in self.returned
            ending = failed(generation.last_seq, free_claim=not generation.text)
            if await store.finish(lease, generation, ending, None):
                assert not late, "it ended one after it was taken over"
                self.ends.append(id_)

    async def look(self, store: MongoRecordStore, news: Sequence[NewGeneration]) -> None:
        """What readers do: they finish what they find unfinished."""
        for _ in range(3):
            for new in news:
                await store.context(new.generation.session_id, "u1", 10)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    spells=st.lists(st.tuples(st.integers(0, _READER), st.integers(1, 20)), max_size=12),
    taker_dies=st.booleans(),
)
async def test_whoever_comes_first_nothing_is_lost_and_all_ends_once(
    mongo_url: str, spells: list[tuple[int, int]], taker_dies: bool
) -> None:
    async with Mongo(mongo_url) as mongo:
        await mongo.ensure_indexes({**GENERATION_INDEXES, **SESSION_INDEXES})
        story, plain = Story(mongo, taker_dies=taker_dies), MongoRecordStore(mongo)
        first = new_generation(user_id="u1", session=new_session("u1"))
        second = new_generation(user_id="u1", session=new_session("u1"))
        owner, first_taker, taker = (story.process(number) for number in (_OWNER, _FIRST_TAKER, _TAKER))
        leases = [Lease(new_id(), 1), *[await plain.acquire(new_id(), TTL) for _ in range(2)]]
        await story.turns.play(story.begin(owner, leases[0].owner_id, first))
        # Given up, and yet at work: so a process that slept for too long looks to the others.
        for lease in leases[: 1 + taker_dies]:
            await plain.release(lease)
        story.turns.follow([process for process, commands in spells for _ in range(commands)])
        await story.turns.play(
            story.make(owner, leases[0], first),
            story.begin_and_make(owner, leases[0], second),
            story.take_over(_FIRST_TAKER, first_taker, leases[1]),
            story.take_over(_TAKER, taker, leases[2]),
            story.look(story.process(_READER), [first, second]),
        )
        # Unless somebody adopted it, nothing stays of what could not begin.
        left = mongo["chat_generations"].find({"owner_id": leases[0].owner_id, "state": "running"})
        assert not {document["_id"] async for document in left} & story.taken_back
        # Whatever a take-over missed is there for the next.
        last = await plain.acquire(new_id(), TTL)
        for generation in await adopted_by(plain, last, sole_owner=True):
            id_ = generation.generation_id
            story.records[id_] = generation
            assert await plain.finish(last, generation, failed(generation.last_seq, free_claim=False), None)
            story.ends.append(id_)
        for new in (first, second):
            await check(plain, story, new)


async def check(store: MongoRecordStore, story: Story, new: NewGeneration) -> None:
    id_ = new.generation.generation_id
    found, events = await store.generation(id_), await store.events(id_, 0, 100)
    context = await store.context(new.generation.session_id, "u1", 10)
    if found is None:
        # It was never begun.
        assert new.session is not None
        assert (events, context, id_ in story.ends) == ([], None, False)
        return
    assert story.ends.count(id_) == 1
    assert [event.first_seq for event in events] == list(range(1, found.last_seq + 1))
    recorded = cast(str, assembled(events)["text"])
    assert recorded.startswith(story.accepted.get(id_, ""))
    assert context is not None
    assert len(context[1]) == (2 if found.state is State.COMPLETED else 1)
    if found.state is State.COMPLETED:
        assert found.text == recorded == "".join(_WORDS)
    else:
        adopted = story.records[id_]
        assert (recorded, found.last_seq) == (adopted.text, adopted.last_seq)
    # Whoever was refused stays so.
    late = Flush(id_, [text(found.last_seq + 1, found.last_seq + 1, "late")])
    assert await store.append(Lease(new_id(), 1), [late]) == set()
