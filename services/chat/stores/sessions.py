"""Sessions and their messages in PostgreSQL, by SQLAlchemy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.capabilities.claims.model import Claim
from services.capabilities.claims.sql import SqlClaims
from services.chat.model import Message, Session
from services.chat.stores import forks, messages, removal, searching
from services.chat.stores.pages import newest_first
from services.chat.stores.tables import (
    MESSAGE_SIZE,
    MESSAGES,
    SESSION_SIZE,
    SESSIONS,
    message_of,
    session_of,
    session_values,
)
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.errors import NotFound
from services.kernel.paging import Page, PageRequest


class SqlSessionStore:
    """Keeps SessionStore's promises on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims = SqlClaims("chat")

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with translated():
            async with self._database.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, which commits when the block ends, and does nothing after a `rollback` in it."""
        with translated():
            async with self._database.engine.begin() as connection:
                yield connection

    async def _earlier(
        self, connection: AsyncConnection, claim: tuple[str, str, bytes] | None, resource_id: str
    ) -> str | None:
        """Take the claim for what is about to be made; the id of what an earlier call made when that holds it."""
        if claim is None:
            return None
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        holder = await self._claims.take(raw, Claim(*claim), resource_id)
        return None if holder == resource_id else holder

    # -- sessions

    async def create_session(self, session: Session, claim: tuple[str, str, bytes] | None) -> Session:
        """As the port says."""
        async with self._writing() as connection:
            earlier = await self._earlier(connection, claim, session.session_id)
            if earlier is not None:
                return await self._made(connection, earlier, session.user_id)
            await connection.execute(sa.insert(SESSIONS).values(session_values(session)))
        return session

    async def session(self, session_id: str, user_id: str | None) -> Session | None:
        """As the port says."""
        async with self._reading() as connection:
            return await self._session(connection, session_id, user_id)

    async def _session(
        self, connection: AsyncConnection, session_id: str, user_id: str | None
    ) -> Session | None:
        query = sa.select(SESSIONS).where(SESSIONS.c.session_id == session_id)
        if user_id is not None:
            query = query.where(SESSIONS.c.user_id == user_id)
        row = (await connection.execute(query)).one_or_none()
        return None if row is None else session_of(row)

    async def _made(self, connection: AsyncConnection, session_id: str, user_id: str) -> Session:
        session = await self._session(connection, session_id, user_id)
        if session is None:
            # What was deleted since is not made anew by a late retry.
            raise NotFound.of("chat.session", session_id)
        return session

    async def sessions(
        self, user_id: str, project: str, include_archived: bool, page: PageRequest
    ) -> Page[Session]:
        """As the port says."""
        wanted = [SESSIONS.c.user_id == user_id]
        if project:
            wanted.append(SESSIONS.c.project == project)
        if not include_archived:
            wanted.append(SESSIONS.c.archived.is_(False))
        async with self._reading() as connection:
            found, after, total = await newest_first(
                connection, SESSIONS, SESSIONS.c.session_id, SESSION_SIZE, wanted, page
            )
        return Page([session_of(row) for row in found], after, total)

    async def update_session(
        self, session_id: str, user_id: str, changes: Mapping[str, str | bool], update_time: datetime
    ) -> Session | None:
        """As the port says."""
        change = (
            sa.update(SESSIONS)
            .where(SESSIONS.c.session_id == session_id, SESSIONS.c.user_id == user_id)
            .values({**changes, "updated_at": sa.func.greatest(SESSIONS.c.updated_at, update_time)})
            .returning(*SESSIONS.c)
        )
        async with self._writing() as connection:
            row = (await connection.execute(change)).one_or_none()
        return None if row is None else session_of(row)

    async def delete_session(self, session_id: str, user_id: str) -> Sequence[str] | None:
        """As the port says."""
        async with self._database.transaction() as connection:
            return await removal.remove(connection, session_id, user_id)

    async def fork_session(
        self, session: Session, message_id: str, claim: tuple[str, str, bytes] | None
    ) -> Session | None:
        """As the port says."""
        async with self._writing() as connection:
            earlier = await self._earlier(connection, claim, session.session_id)
            if earlier is not None:
                return await self._made(connection, earlier, session.user_id)
            if await forks.fork(connection, session, message_id):
                return session
            await connection.rollback()
        return None

    # -- messages

    async def messages(self, session_id: str, page: PageRequest) -> Page[Message]:
        """As the port says."""
        wanted = [MESSAGES.c.session_id == session_id]
        async with self._reading() as connection:
            found, after, total = await newest_first(
                connection, MESSAGES, MESSAGES.c.message_id, MESSAGE_SIZE, wanted, page
            )
        return Page([message_of(row) for row in found], after, total)

    async def create_message(
        self, message: Message, user_id: str, claim: tuple[str, str, bytes] | None
    ) -> Message | None:
        """As the port says."""
        async with self._writing() as connection:
            earlier = await self._earlier(connection, claim, message.message_id)
            if earlier is not None:
                made = await messages.find(connection, earlier, user_id)
                if made is None:
                    raise NotFound.of("chat.message", earlier)
                return made
            if await messages.add(connection, message, user_id):
                return message
            await connection.rollback()
        return None

    async def message(self, message_id: str, user_id: str) -> Message | None:
        """As the port says."""
        async with self._reading() as connection:
            return await messages.find(connection, message_id, user_id)

    async def search(self, user_id: str, session_id: str, query: str, page: PageRequest) -> Page[Message]:
        """As the port says."""
        async with self._reading() as connection:
            return await searching.search(connection, user_id, session_id, query, page)
