"""The partitions of events, a month (UTC) each: made before they are needed, dropped when all in them is too old."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from services.analytics.stores.layout import MONTH_LOCK
from services.infra.postgres.database import Connection, Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=62)
_NAME = re.compile(r"events_(\d{4})_(\d\d)")
_PARTITIONS = (
    "select inhrelid::regclass::text from pg_inherits where inhparent = 'analytics.events'::regclass"
)
# Whoever reads or writes events waits for a drop, and so behind whatever that waits for.
_LOCK_SECONDS = 2


def first_uuid_at(moment: datetime) -> UUID:
    """The least UUID whose first 48 bits are the moment's milliseconds since 1970; before that, the least of all."""
    return UUID(int=max((moment - _EPOCH) // timedelta(milliseconds=1), 0) << 80)


def month_of(moment: datetime) -> datetime:
    """When the month of a moment began, in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def after(month: datetime) -> datetime:
    """The month after a month."""
    return month_of(month + timedelta(days=31))


def _months(first: datetime, last: datetime) -> Iterator[datetime]:
    """The months from that of the one moment to that of the other."""
    month = month_of(first)
    while month <= last:
        yield month
        month = after(month)


class EventMonths:
    """Makes and drops partitions. Several processes may do so at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._there: set[datetime] = set()

    def forget(self) -> None:
        """Look anew which partitions there are: another process may have dropped one."""
        self._there.clear()

    async def ensure(self, first: int, last: int) -> None:
        """Have partitions for events between two times, in microseconds since 1970. Raises Unavailable."""
        await self._ensure(_EPOCH + timedelta(microseconds=first), _EPOCH + timedelta(microseconds=last))

    async def ensure_ahead(self, now: datetime) -> None:
        """Have partitions for this month and the next two."""
        await self._ensure(now, now + _AHEAD)

    async def drop_before(self, oldest: datetime) -> None:
        """Drop the partitions whose months were over by then; one that is in use stays until the next time."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_PARTITIONS)
            names = [str(row[0]) for row in await cursor.fetchall()]
            for name in names:
                if (found := _NAME.search(name)) is None:
                    continue
                month = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
                if after(month) <= oldest:
                    self._there.discard(month)
                    try:
                        await _drop(connection, month)
                    except psycopg.errors.LockNotAvailable:
                        return

    async def kept_from(self) -> datetime | None:
        """From when on no month was dropped; None when none ever was. Raises Unavailable."""
        async with self._database.connection() as connection:
            return await kept_from(connection)

    async def _ensure(self, first: datetime, last: datetime) -> None:
        for month in _months(first, last):
            if month not in self._there:
                await self._make(month)
                self._there.add(month)

    async def _make(self, month: datetime) -> None:
        name = f"analytics.events_{month:%Y_%m}"
        async with self._database.transaction() as connection:
            await _lock(connection)
            cursor = await connection.execute("select to_regclass(%s) is not null", (name,))
            row = await cursor.fetchone()
            if row is None or row[0]:
                return
            # Made apart and then attached, it keeps nobody from the other months.
            await connection.execute(f"create table {name} (like analytics.events)".encode())
            bounds = f"from ('{first_uuid_at(month)}') to ('{first_uuid_at(after(month))}')"
            await connection.execute(
                f"alter table analytics.events attach partition {name} for values {bounds}".encode()
            )


async def kept_from(connection: Connection) -> datetime | None:
    """See EventMonths."""
    cursor = await connection.execute("select nullif(events_from, '-infinity') from analytics.kept")
    row = await cursor.fetchone()
    return row[0] if row else None


async def _drop(connection: Connection, month: datetime) -> None:
    async with connection.transaction():
        await _lock(connection)
        await connection.execute(f"set local lock_timeout = '{_LOCK_SECONDS}s'".encode())
        # What is gone is remembered, so that no setting makes anybody look for it.
        await connection.execute(
            "update analytics.kept set events_from = greatest(events_from, %s)", (after(month),)
        )
        await connection.execute(f"drop table if exists analytics.events_{month:%Y_%m}".encode())


async def _lock(connection: Connection) -> None:
    await connection.execute("select pg_advisory_xact_lock(%s, 0)", (MONTH_LOCK,))
