"""Forgets series that nothing is left of: the dictionary would only grow, with people, keys, projects and models that are long gone."""

from __future__ import annotations

from services.analytics.stores.series import UNUSED_AFTER
from services.infra.postgres.database import Database

_STEP = 500

# Whoever stores events has looked their series up within the last days, so nothing can come to refer to those that are removed; one that
# is being looked up just now is locked or shows it. One of the system is looked up whenever one of people is that belongs to it, and has
# figures only where those have some: of a time they are made together, and forgotten before the finest of people. So it goes when none
# belongs to it any more.
_SWEEP = f"""
with next as materialized (
    select series_id from analytics.series where series_id > %(after)s order by series_id limit {_STEP}
), unused as materialized (
    select series_id from analytics.series s
    where series_id = any (array(select series_id from next)) and used_at < now() - %(unused_after)s
      and not exists (select from analytics.series p where p.system_id = s.series_id)
      and not exists (select from analytics.user_days f where f.series_id = s.series_id)
      and not exists (select from analytics.user_quarters f where f.series_id = s.series_id)
      and not exists (select from analytics.events e where e.series_id = s.series_id)
      and series_id not in (select series_id from analytics.unfolded)
    order by series_id for update skip locked
), removed as (
    delete from analytics.series where series_id = any (array(select series_id from unused))
)
select max(series_id) from next
""".encode()


class SeriesSweep:
    """Goes through the series again and again, some at a time. Several processes may do so at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = 0

    async def go_on(self) -> None:
        """Forget those of the next series that nothing refers to. Raises Unavailable."""
        values = {"after": self._after, "unused_after": UNUSED_AFTER}
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SWEEP, values)).fetchone()
        # Behind the last one it begins anew.
        self._after = row[0] if row and row[0] is not None else 0
