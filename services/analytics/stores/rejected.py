"""Bad items in PostgreSQL, kept for a while for whoever mends the service that sent them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from antiphon.usage.v1 import usage_pb2
from psycopg.types.json import Jsonb

from services.analytics.model.events import RejectedEvent
from services.analytics.stores.people import digest_of, forgotten
from services.capabilities.metering.forgetting import without_person
from services.infra.postgres.database import Database
from services.kernel.errors import Violation
from services.kernel.paging import Page, PageRequest

_KEPT = timedelta(days=30)
# A service whose clock is wrong sends nothing but bad items.
_MOST_KEPT = 10_000
# A part of a payload could not be read, so a longer one is kept without it.
_LONGEST_PAYLOAD = 64 * 1024
# Clients take 4 MiB at once by default.
_PAGE_BYTES = 3 * 1024**2
_STEP = 1000

_ADD = """
insert into analytics.rejected_events as kept
    (rejected_event_id, digest, source, payload, user_digest, violations, received_at, count)
values (%(rejected_event_id)s, %(digest)s, %(source)s, %(payload)s, %(user_digest)s, %(violations)s, %(received_at)s, %(count)s)
on conflict (digest) do update set count = kept.count + excluded.count
"""
_PAGE = f"""
select rejected_event_id::text, source, payload, violations, received_at, count, there from (
    select *, sum(octet_length(payload) + octet_length(violations::text)) over (order by rejected_event_id desc) as bytes,
           row_number() over (order by rejected_event_id desc) as place, count(*) over () as there
    from (
        select * from analytics.rejected_events where rejected_event_id < %(after)s
        order by rejected_event_id desc limit %(limit)s offset %(skip)s
    ) wanted
) sized where place = 1 or bytes <= {_PAGE_BYTES} order by rejected_event_id desc
"""
_LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_THEIRS = f"""
select rejected_event_id, payload from analytics.rejected_events where user_digest = %s order by rejected_event_id limit {_STEP} for update
"""
# One that is being counted once more just now stays until the next time.
_FORGET = f"""
delete from analytics.rejected_events where rejected_event_id = any (array(
    select rejected_event_id from analytics.rejected_events
    where received_at < %(oldest)s or rejected_event_id <= (
        select rejected_event_id from analytics.rejected_events order by rejected_event_id desc offset %(most)s limit 1
    )
    limit {_STEP} for update skip locked
))
"""


class SqlRejectedEvents:
    """The part of `ports.UsageStore` that is about bad items, over the table `rejected_events`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, items: Sequence[RejectedEvent]) -> None:
        """See `ports.UsageStore.reject`."""
        user_ids = [usage_pb2.UsageEvent.FromString(item.payload).user_id for item in items]
        rows: dict[bytes, dict[str, Any]] = {}
        async with self._database.transaction() as connection:
            gone = await forgotten(connection, set(user_ids))
            for item, user_id in zip(items, user_ids, strict=True):
                digest = blake2b(
                    item.source.encode(errors="backslashreplace") + b"\0" + item.payload, digest_size=16
                ).digest()
                row = rows.setdefault(digest, _row(digest, item, user_id, user_id in gone))
                row["count"] += item.receive_count
            # In the order of their digests, so that two batches with the same ones do not wait in a circle.
            cursor = connection.cursor()
            await cursor.executemany(_ADD, [rows[digest] for digest in sorted(rows)])

    async def page(self, page: PageRequest) -> Page[RejectedEvent]:
        """See `ports.UsageStore.rejected`."""
        values = {"after": page.after or _LAST, "limit": page.size + 1, "skip": page.skip}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_PAGE.encode(), values)).fetchall()
        items = [_item(row) for row in rows[: page.size]]
        more = bool(rows) and rows[0][-1] > len(items)
        return Page(items, items[-1].rejected_event_id if more else None, await self.count())

    async def count(self) -> int:
        """See `ports.UsageStore.rejected_count`."""
        async with self._database.connection() as connection:
            cursor = await connection.execute("select count(*) from analytics.rejected_events")
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def forget_old(self) -> None:
        """Forget items that nobody looked at for long, and all but the newest."""
        values = {"oldest": datetime.now(UTC) - _KEPT, "most": _MOST_KEPT}
        removed = _STEP
        while removed >= _STEP:
            async with self._database.connection() as connection:
                removed = (await connection.execute(_FORGET.encode(), values)).rowcount

    async def forget_person(self, user_id: str) -> None:
        """Take a person out of the items. Raises Unavailable; repeating it is safe."""
        taken = _STEP
        while taken >= _STEP:
            async with self._database.transaction() as connection:
                rows = await (await connection.execute(_THEIRS.encode(), (digest_of(user_id),))).fetchall()
                cursor = connection.cursor()
                await cursor.executemany(
                    "update analytics.rejected_events set payload = %s, user_digest = null where rejected_event_id = %s",
                    [(without_person(payload), id_) for id_, payload in rows],
                )
                taken = len(rows)


def _row(digest: bytes, item: RejectedEvent, user_id: str, is_gone: bool) -> dict[str, Any]:
    payload = without_person(item.payload) if is_gone else item.payload
    is_long = len(payload) > _LONGEST_PAYLOAD
    return {
        "rejected_event_id": item.rejected_event_id,
        "digest": digest,
        "source": _storable(item.source),
        "payload": b"" if is_long else payload,
        "user_digest": None if is_long or is_gone or not user_id else digest_of(user_id),
        "violations": Jsonb([[_storable(one.field), _storable(one.description)] for one in item.violations]),
        "received_at": item.receive_time,
        "count": 0,
    }


def _storable(text: str) -> str:
    # An explanation may quote what is wrong, and PostgreSQL keeps no U+0000.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _item(row: Sequence[Any]) -> RejectedEvent:
    rejected_event_id, source, payload, violations, received_at, count, _ = row
    found = tuple(Violation(field, description) for field, description in violations)
    return RejectedEvent(rejected_event_id, source, payload, found, received_at, count)
