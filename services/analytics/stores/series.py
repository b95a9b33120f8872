"""The dictionary of what calls have in common: a row each, known by a number."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from services.analytics.model.events import Series
from services.analytics.stores.people import forgotten
from services.infra.postgres.database import Connection, Database

_MOST_KNOWN = 50_000
# A process remembers a number for no longer than this, and looks it up again: so it can be told which ones nobody can have any more.
_KNOWN_SECONDS = 86_400
UNUSED_AFTER = timedelta(days=7)
"""Nobody remembers the number of a series that was looked up so long ago, whatever a clock or a slow statement may add to a day."""

SERIES_COLUMNS = ", ".join(Series._fields)
"""The columns of a Series, in its order."""

_FIND = """
select digest, series_id, used_at < now() - interval '1 day' from analytics.series where digest = any (%(digests)s::bytea[])
"""
# Those that are being removed are not found; all lock them in the order of their numbers.
_USE = """
update analytics.series s set used_at = now() from (
    select series_id from analytics.series where digest = any (%(digests)s::bytea[]) order by series_id for no key update
) found where s.series_id = found.series_id
returning s.digest, s.series_id
"""
# In the order of their digests, so that two processes with the same new ones do not wait in a circle.
_ADD = f"""
insert into analytics.series (digest, system_id, forgotten, {SERIES_COLUMNS})
select * from unnest(
    %(digests)s::bytea[], %(system_id)s::bigint[], %(forgotten)s::boolean[], %(service_type)s::smallint[], %(operation)s::text[],
    %(model)s::text[], %(provider)s::text[], %(project)s::text[], %(status)s::smallint[], %(error_reason)s::text[],
    %(refused)s::boolean[], %(variant)s::text[], %(provenance)s::smallint[], %(units)s::smallint[], %(user_id)s::text[],
    %(api_key_id)s::text[]
) order by 1
on conflict do nothing
"""


class SeriesIds(NamedTuple):
    """The number of a series, and that of the one that it belongs to in the figures of the system."""

    series_id: int
    system_id: int


class _Row(NamedTuple):
    """A series to find or to add. Without `system_id` it is one of the system; `forgotten`: its people were deleted."""

    series: Series
    system_id: int | None
    forgotten: bool

    @property
    def digest(self) -> bytes:
        kind = b"system" if self.system_id is None else b"forgotten" if self.forgotten else b"people"
        # No text has the character that stands between them.
        joined = "\0".join(map(str, self.series))
        return blake2b(joined.encode(errors="backslashreplace"), digest_size=16, person=kind).digest()


class SeriesDirectory:
    """Finds the numbers of series, and makes those that are new. It remembers some of them for a day; they never change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[Series, SeriesIds] = OrderedDict()
        self._known_since = time.time()

    async def find(self, wanted: Collection[Series]) -> Mapping[Series, SeriesIds]:
        """The numbers of these series. Raises Unavailable."""
        known = self._known
        # By the clock of the day, which goes on while a machine sleeps.
        if not 0 <= time.time() - self._known_since < _KNOWN_SECONDS:
            known.clear()
            self._known_since = time.time()
        found: dict[Series, SeriesIds] = {}
        unknown: list[Series] = []
        for series in wanted:
            if (ids := known.get(series)) is None:
                unknown.append(series)
            else:
                found[series] = ids
                known.move_to_end(series)
        if unknown:
            found |= await self._look_up(unknown)
            known.update({series: found[series] for series in unknown})
            while len(known) > _MOST_KNOWN:
                known.popitem(last=False)
        return found

    async def forget_people_before(self, moment: datetime) -> None:
        """Forget who was deleted before a moment, and soon after a deletion which series were theirs. Raises Unavailable."""
        async with self._database.connection() as connection:
            await connection.execute("delete from analytics.forgotten where forgotten_at < %s", (moment,))
            await connection.execute(
                "update analytics.forgotten set series_ids = '{}' where forgotten_at < now() - interval '1 day' and series_ids <> '{}'"
            )

    async def _look_up(self, wanted: Sequence[Series]) -> dict[Series, SeriesIds]:
        async with self._database.connection() as connection:
            gone = await forgotten(connection, {series.user_id for series in wanted})
            of_nobody = [series._replace(user_id="", api_key_id="") for series in wanted]
            system_rows = [_Row(series._replace(project=""), None, False) for series in of_nobody]
            system_ids = await _numbers(connection, system_rows)
            rows = [
                _Row(nobodys if series.user_id in gone else series, system_id, series.user_id in gone)
                for series, nobodys, system_id in zip(wanted, of_nobody, system_ids, strict=True)
            ]
            series_ids = await _numbers(connection, rows)
        return {
            series: SeriesIds(series_id, system_id)
            for series, series_id, system_id in zip(wanted, series_ids, system_ids, strict=True)
        }


async def _numbers(connection: Connection, rows: Sequence[_Row]) -> list[int]:
    digests = [row.digest for row in rows]
    found = await _found(connection, digests)
    if missing := {digest: row for digest, row in zip(digests, rows, strict=True) if digest not in found}:
        await connection.execute(_ADD.encode(), _columns(missing))
        found |= await _found(connection, list(missing))
    return [found[digest] for digest in digests]


async def _found(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    cursor = await connection.execute(_FIND, {"digests": list(digests)})
    found: dict[bytes, int] = {}
    unused: list[bytes] = []
    for digest, series_id, is_unused in await cursor.fetchall():
        if is_unused:
            unused.append(digest)
        else:
            found[digest] = series_id
    if unused:
        cursor = await connection.execute(_USE, {"digests": unused})
        found |= {row[0]: row[1] for row in await cursor.fetchall()}
    return found


def _columns(rows: Mapping[bytes, _Row]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {
        "digests": list(rows),
        "system_id": [row.system_id for row in rows.values()],
        "forgotten": [row.forgotten for row in rows.values()],
    }
    for name in Series._fields:
        columns[name] = [getattr(row.series, name) for row in rows.values()]
    for name in ("user_id", "api_key_id"):
        # The figures of the system have no people in them, which is not the same as those of nobody; and no projects.
        columns[name] = [
            None if row.system_id is None else getattr(row.series, name) for row in rows.values()
        ]
    return columns
