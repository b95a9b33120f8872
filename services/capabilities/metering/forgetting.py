"""Usage without the person: what waits in an outbox loses whoever is deleted, and stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from antiphon.usage.v1 import usage_pb2
from google.protobuf.message import DecodeError

from services.infra.postgres.database import Database

_PAGE = 2000


NOT_AN_EVENT = "its bytes were no usage event, and went with the person whose it was"
"""Why what is left empty here is set aside."""


def without_person(payload: bytes) -> bytes:
    """The event with nothing in it that leads to a person: no user, key, session or request. Of bytes that are no event nobody can say what
    they lead to: nothing is left of them."""
    try:
        event = usage_pb2.UsageEvent.FromString(payload)
    except DecodeError:
        return b""
    for name in ("user_id", "api_key_id", "session_id", "request_id"):
        event.ClearField(name)
    return event.SerializeToString(deterministic=True)


def _user_id(payload: bytes) -> str:
    try:
        return usage_pb2.UsageEvent.FromString(payload).user_id
    except DecodeError:
        return ""


class OutboxPeople:
    """The people in `<schema>.outbox`. An event of theirs is found by its `user_id`; those that do not say whose they are, as an older
    version wrote them, are told it first, once for all people."""

    def __init__(self, database: Database, schema: str) -> None:
        self._database = database
        self._unknown = _Rows(f"{schema}.outbox", "user_id is null", "user_id = %(value)s")
        self._theirs = _Rows(
            f"{schema}.outbox",
            "user_id = %(user)s and user_id <> ''",
            f"user_id = '', payload = %(value)s,"
            f" set_aside = case when %(value)s = ''::bytea then coalesce(set_aside, '{NOT_AN_EVENT}') else set_aside end",
        )

    async def forget(self, user_id: str) -> None:
        """Rewrite the events of a person. Raises Unavailable; repeating it is safe, also in several processes at once."""
        await self._change(self._unknown, user_id, _user_id)
        await self._change(self._theirs, user_id, without_person)

    async def _change(self, rows: _Rows, user_id: str, value: Callable[[bytes], str | bytes]) -> None:
        """Give each of the rows the value that follows from its payload, a page at a time, until there are none."""
        values = {"user": user_id}
        while True:
            async with self._database.connection() as connection:
                cursor = await connection.execute(rows.exist, values)
                row = await cursor.fetchone()
            if row is None or not row[0]:
                return
            # Rows that another process changes are waited for here, and then left out.
            async with self._database.transaction() as connection:
                cursor = await connection.execute(rows.lock, values)
                changes: list[dict[str, Any]] = [
                    {"event_id": event_id, "value": value(payload)}
                    for event_id, payload in await cursor.fetchall()
                ]
                await cursor.executemany(rows.change, changes)


class _Rows:
    """The statements on some rows of an outbox, which leave those rows by being changed."""

    def __init__(self, table: str, which: str, change: str) -> None:
        self.exist = f"select exists (select from {table} where {which})".encode()
        self.lock = f"select event_id, payload from {table} where {which} order by event_id limit {_PAGE} for update".encode()
        self.change = f"update {table} set {change} where event_id = %(event_id)s".encode()
