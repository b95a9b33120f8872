"""Sessions and messages in PostgreSQL, by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
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
from services.kernel.errors import NotFound
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
# Clients take 4 MiB at once by default.
_PAGE_BYTES = 3 * 1024**2
_SESSION_SIZE = sa.func.octet_length(_SESSIONS.c.system_prompt) + 1024
_MESSAGE_SIZE = (
    sa.func.octet_length(sa.func.array_to_string(_MESSAGES.c.texts, ""))
    + sa.func.octet_length(sa.cast(_MESSAGES.c.tool_calls, sa.Text))
    + 512
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
                        if earlier is None:
                            # What was deleted since is not made anew by a late retry.
                            raise NotFound.of("chat.session", holder)
                        return earlier
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
        found, after, total = await self._page(_SESSIONS, _SESSIONS.c.session_id, _SESSION_SIZE, wanted, page)
        return Page([_to_session(row) for row in found], after, total)

    async def messages(self, session_id: str, page: PageRequest) -> Page[Message]:
        """As the port says."""
        wanted = [_MESSAGES.c.session_id == session_id]
        found, after, total = await self._page(_MESSAGES, _MESSAGES.c.message_id, _MESSAGE_SIZE, wanted, page)
        return Page([_to_message(row) for row in found], after, total)

    async def _page(
        self,
        table: sa.Table,
        key: sa.Column[Any],
        size: sa.ColumnElement[int],
        wanted: list[sa.ColumnElement[bool]],
        page: PageRequest,
    ) -> tuple[list[Any], str | None, int]:
        """The rows of a page, newest first, the key of the last one when more follow, and how many the list has in all.

        Keys and sizes are read first, so that no more rows are fetched than a response has room for.
        """
        later = wanted if page.after is None else [*wanted, key < page.after]
        keys = sa.select(key, size).where(*later).order_by(key.desc()).limit(page.size + 1).offset(page.skip)
        count = sa.select(sa.func.count()).select_from(table).where(*wanted)
        with translated():
            async with self._database.engine.connect() as connection:
                sized = list(await connection.execute(keys))
                fitting = _fitting(sized, page.size)
                rows_of_page = sa.select(table).where(key.in_(fitting)).order_by(key.desc())
                found = list(await connection.execute(rows_of_page)) if fitting else []
                total = (await connection.execute(count)).scalar_one()
        return found, fitting[-1] if len(sized) > len(fitting) else None, total


def _fitting(sized: Sequence[Any], most: int) -> list[str]:
    """The keys of the first rows, as many as a page has room for, and at least one."""
    fitting: list[str] = []
    room = _PAGE_BYTES
    for key, size in sized[:most]:
        room -= size
        if room < 0 and fitting:
            break
        fitting.append(str(key))
    return fitting


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
