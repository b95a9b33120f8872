"""Sessions and messages in PostgreSQL, by SQLAlchemy."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from services.capabilities.claims.model import Claim
from services.capabilities.claims.sql import SqlClaims
from services.chat.model import FinishReason, Message, Role, Session
from services.chat.stores import rows
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.paging import Page, PageRequest

_METADATA = sa.MetaData(schema="chat")
_ID = sa.Uuid(as_uuid=False)
_TIME = sa.DateTime(timezone=True)

_SESSIONS = sa.Table(
    "sessions",
    _METADATA,
    sa.Column("session_id", _ID, primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("project", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("system_prompt", sa.Text),
    sa.Column("archived", sa.Boolean),
    sa.Column("created_at", _TIME),
    sa.Column("updated_at", _TIME),
    sa.Column("forked_from_session_id", _ID),
)
_MESSAGES = sa.Table(
    "messages",
    _METADATA,
    sa.Column("message_id", _ID, primary_key=True),
    sa.Column("session_id", _ID),
    sa.Column("role", sa.Text),
    sa.Column("texts", ARRAY(sa.Text)),
    sa.Column("tool_calls", JSONB),
    sa.Column("tool_call_id", sa.Text),
    sa.Column("generation_id", _ID),
    sa.Column("model", sa.Text),
    sa.Column("finish_reason", sa.Text),
    sa.Column("created_at", _TIME),
)


class SqlSessionStore:
    """Keeps SessionStore's promises on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims = SqlClaims("chat")

    async def create_session(self, session: Session, claim: tuple[str, str, bytes] | None) -> Session:
        """As the port says."""
        with translated():
            async with self._database.engine.begin() as connection:
                if claim is not None:
                    raw = (await connection.get_raw_connection()).driver_connection
                    assert raw is not None
                    holder = await self._claims.take(raw, Claim(*claim), session.session_id)
                    if holder != session.session_id:
                        earlier = await self._session(connection, holder, session.user_id)
                        # A session that was deleted since is not made anew by a late retry.
                        return earlier or session
                await connection.execute(
                    sa.insert(_SESSIONS).values(
                        session_id=session.session_id,
                        user_id=session.user_id,
                        title=session.title,
                        project=session.project,
                        model=session.model,
                        system_prompt=session.system_prompt,
                        archived=session.archived,
                        created_at=session.create_time,
                        updated_at=session.update_time,
                    )
                )
        return session

    async def session(self, session_id: str, user_id: str | None) -> Session | None:
        """As the port says."""
        with translated():
            async with self._database.engine.connect() as connection:
                return await self._session(connection, session_id, user_id)

    async def _session(
        self, connection: AsyncConnection, session_id: str, user_id: str | None
    ) -> Session | None:
        query = sa.select(_SESSIONS).where(_SESSIONS.c.session_id == session_id)
        if user_id is not None:
            query = query.where(_SESSIONS.c.user_id == user_id)
        row = (await connection.execute(query)).one_or_none()
        return None if row is None else _to_session(row)

    async def sessions(
        self, user_id: str, project: str, include_archived: bool, page: PageRequest
    ) -> Page[Session]:
        """As the port says."""
        wanted = [_SESSIONS.c.user_id == user_id]
        if project:
            wanted.append(_SESSIONS.c.project == project)
        if not include_archived:
            wanted.append(_SESSIONS.c.archived.is_(False))
        found, total = await self._page(_SESSIONS, _SESSIONS.c.session_id, wanted, page)
        sessions = [_to_session(row) for row in found]
        return Page(sessions[: page.size], _after(sessions, page, "session_id"), total)

    async def messages(self, session_id: str, page: PageRequest) -> Page[Message]:
        """As the port says."""
        wanted = [_MESSAGES.c.session_id == session_id]
        found, total = await self._page(_MESSAGES, _MESSAGES.c.message_id, wanted, page)
        messages = [_to_message(row) for row in found]
        return Page(messages[: page.size], _after(messages, page, "message_id"), total)

    async def _page(
        self, table: sa.Table, key: sa.Column[Any], wanted: list[Any], page: PageRequest
    ) -> tuple[list[Any], int]:
        """The rows of a page and one more, newest first, and how many the list has in all."""
        query = sa.select(table).where(*wanted).order_by(key.desc()).limit(page.size + 1).offset(page.skip)
        if page.after is not None:
            query = query.where(key < page.after)
        count = sa.select(sa.func.count()).select_from(table).where(*wanted)
        with translated():
            async with self._database.engine.connect() as connection:
                found = list(await connection.execute(query))
                total = (await connection.execute(count)).scalar_one()
        return found, total


def _after(items: list[Any], page: PageRequest, key: str) -> str | None:
    return str(getattr(items[page.size - 1], key)) if len(items) > page.size else None


def _to_session(row: Any) -> Session:
    return rows.session([*row[:9], row.forked_from_session_id or ""])


def _to_message(row: Any) -> Message:
    return Message(
        message_id=row.message_id,
        role=Role(row.role),
        texts=tuple(row.texts),
        tool_calls=rows.tool_calls(row.tool_calls),
        tool_call_id=row.tool_call_id,
        session_id=row.session_id or "",
        generation_id=row.generation_id or "",
        model=row.model,
        finish_reason=FinishReason(row.finish_reason) if row.finish_reason else None,
        create_time=row.created_at,
    )
