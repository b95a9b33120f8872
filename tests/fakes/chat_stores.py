"""Chat's stores of one kind, empty, for the suites of their ports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from services.capabilities.identity.deletions import Deletions
from services.capabilities.metering.ports import Outbox
from services.capabilities.metering.stores.sql import SqlOutbox
from services.chat.model import Lease, Message, NewGeneration, Role, Session
from services.chat.ports import RecordStore, SessionStore
from services.chat.stores.deletions import SqlDeletions
from services.chat.stores.mongo.deletions import MongoDeletions
from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.chat.stores.mongo.outbox import MongoOutbox
from services.chat.stores.mongo.projections import Projections
from services.chat.stores.mongo.records import MongoRecordStore
from services.chat.stores.mongo.sessions import MongoSessionStore
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.sessions import SqlSessionStore
from services.chat.stores.warming import warm
from services.infra.mongo.client import Mongo
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_records import TTL, completed, new_generation, usage_event


@dataclass(frozen=True)
class ChatStores:
    """The stores on one database, the outbox beside them, and what removes people from all of it."""

    sessions: SessionStore
    records: RecordStore
    outbox: Outbox
    deletions: Deletions

    async def opened(self, user_id: str = "u1", **changes: Any) -> Session:
        """A new session of a person."""
        return await self.sessions.create_session(new_session(user_id, **changes), None)

    async def said(self, session: Session, *texts: str, role: Role = Role.USER, **more: Any) -> list[Message]:
        """Messages that were added to a session, in order."""
        made = []
        for text in texts:
            message = Message(
                new_id(),
                role,
                (text,),
                session_id=session.session_id,
                create_time=datetime.now(UTC),
                **more,
            )
            added = await self.sessions.create_message(message, session.user_id, None)
            assert added is not None
            made.append(added)
        return made

    async def listed(self, session_id: str) -> Sequence[Message]:
        """What a session has, oldest first, of up to 100 messages."""
        return (await self.sessions.messages(session_id, PageRequest(100))).items[::-1]

    async def started(
        self, user_id: str, session: Session | None, **more: Any
    ) -> tuple[Lease, NewGeneration]:
        """A generation of the person that runs, in a session that is there already or in none."""
        new = new_generation(user_id=user_id, session=session, **more)
        new = replace(new, session=None)
        lease = await self.records.acquire(new_id(), TTL)
        assert await self.records.begin(lease, new) is None
        return lease, new

    async def answered(
        self, user_id: str, session: Session | None, words: str = "the answer", **more: Any
    ) -> NewGeneration:
        """The same to its end."""
        lease, new = await self.started(user_id, session, **more)
        assert await self.end(lease, new, words)
        return new

    async def end(
        self, lease: Lease, new: NewGeneration, words: str = "the answer", last_seq: int = 2
    ) -> bool:
        """End a generation well, and tell the meter."""
        event = usage_event(new.generation)
        return await self.records.finish(lease, new.generation, completed(new, last_seq, words), event)


def new_session(user_id: str = "u1", **changes: Any) -> Session:
    """A session that is not stored yet."""
    now = datetime.now(UTC)
    made = Session(new_id(), user_id, "a title", "demo", "echo", "be brief", False, now, now)
    return replace(made, **changes)


@asynccontextmanager
async def postgres_stores(url: str) -> AsyncIterator[ChatStores]:
    """On a migrated database."""
    async with Database(url, warm=[warm]) as database:
        yield ChatStores(
            SqlSessionStore(database),
            SqlRecordStore(database),
            SqlOutbox(database, "chat"),
            SqlDeletions(database, _made_elsewhere),
        )


@asynccontextmanager
async def mongo_stores(url: str) -> AsyncIterator[ChatStores]:
    """On an empty MongoDB."""
    async with Mongo(url) as mongo:
        await mongo.ensure_indexes({**GENERATION_INDEXES, **SESSION_INDEXES})
        yield on_mongo(mongo)


def on_mongo(mongo: Mongo) -> ChatStores:
    """The stores of one process."""
    projections = Projections(mongo)
    return ChatStores(
        MongoSessionStore(mongo, projections),
        MongoRecordStore(mongo, projections),
        MongoOutbox(mongo),
        MongoDeletions(mongo, _made_elsewhere),
    )


def _made_elsewhere(generation_id: str) -> None:
    """What runs is cancelled by its owner."""
