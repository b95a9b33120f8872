"""What is not kept for ever: events, figures, bad items."""

from __future__ import annotations

from datetime import datetime

from services.analytics.stores.covering import Grain
from services.analytics.stores.mongo.layout import PEOPLE_TABLES, SYSTEM_TABLES
from services.analytics.stores.mongo.pipelines import minute_of
from services.infra.mongo.client import Mongo
from services.kernel.ids import first_id_at

_AT_ONCE = 1000


class Retiring:
    """Forgets what is old, in small steps."""

    def __init__(self, mongo: Mongo) -> None:
        self._batches = mongo["analytics_batches"]
        self._figures = mongo["analytics_figures"]

    async def forget_events(self, before: datetime) -> None:
        """Forget batches all of whose events are older, and which nobody folds any more."""
        old = {"last_id": {"$lt": first_id_at(before)}, "fold": {"$exists": False}}
        while found := await self._batches.find(old, {"_id": 1}).limit(_AT_ONCE).to_list():
            await self._batches.delete_many({"_id": {"$in": [batch["_id"] for batch in found]}})

    async def forget_figures(self, before: datetime, minutes_before: datetime) -> None:
        """Forget figures that are older, and those of minutes before another moment."""
        for table in (*PEOPLE_TABLES.values(), *SYSTEM_TABLES.values()):
            await self._forget({"table": table, "at": {"$lt": minute_of(before)}})
        await self._forget({"table": SYSTEM_TABLES[Grain.MINUTE], "at": {"$lt": minute_of(minutes_before)}})

    async def _forget(self, which: dict[str, object]) -> None:
        while found := await self._figures.find(which, {"_id": 1}).limit(_AT_ONCE).to_list():
            await self._figures.delete_many({"_id": {"$in": [figure["_id"] for figure in found]}})
