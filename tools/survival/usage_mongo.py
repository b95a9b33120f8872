"""What Analytics keeps of usage in MongoDB, read past the suite."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pymongo

from services.analytics.model.events import UNITS
from tools.survival.usage import Account, Kept, Tally, added

_SYSTEM = ("system_minutes", "system_quarters", "system_days")
_PEOPLE = ("people_quarters", "people_days")
_LOOKS = 100
_LOOK_AGAIN_SECONDS = 0.1

_Document = Mapping[str, Any]


class MongoUsageLedger:
    """The store on MongoDB; whoever drops its database is the ledger of Chat."""

    def __init__(self, url: str) -> None:
        self._client: pymongo.AsyncMongoClient[dict[str, Any]] = pymongo.AsyncMongoClient(url)
        self._database = self._client.get_default_database("antiphon")

    async def kept(self) -> Kept:
        """As the protocol says. There is no view of one moment, so it looks until nothing came in between, and all that came is in the
        figures."""
        batches = await self._batches()
        for _ in range(_LOOKS):
            figures = [one async for one in self._database.analytics_figures.find()]
            rejected = await self._database.analytics_rejected.count_documents({})
            again = await self._batches()
            if again == batches and not any(one.get("fold") == "due" for one in batches):
                break
            batches = again
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        events = [event for batch in batches for event in _events(batch)]
        counting = {one["_id"]: one["version"] async for one in self._database.analytics_days.find()}
        figures = [one for one in figures if one["version"] == counting.get(one["day"], 0)]
        return Kept(
            frozenset(event_id for event_id, _, account, _ in events if not account.refused),
            Counter(project for _, project, account, _ in events if account.refused),
            added((account, tally) for _, _, account, tally in events),
            {table: _added(figures, table) for table in _SYSTEM},
            {table: _added(figures, table) for table in _PEOPLE},
            rejected,
        )

    async def _batches(self) -> list[_Document]:
        return [one async for one in self._database.analytics_batches.find().sort("_id", 1)]

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()


def _events(batch: _Document) -> Iterator[tuple[str, str, Account, Tally]]:
    """The id, the project, the account and the tally of each event."""
    ids = iter(batch["ids"])
    for part in batch["parts"]:
        account = _account(part)
        for place, (latency, first_token) in enumerate(
            zip(part["latencies"], part["first_tokens"], strict=True)
        ):
            amounts = [part["quantities"].get(str(unit), {place: 0})[place] for unit in range(len(UNITS))]
            timed = not account.refused
            tally = (1, *amounts, int(timed and latency >= 0), int(timed and first_token >= 0))
            yield next(ids), part["project"], account, tally


def _added(figures: Iterable[_Document], table: str) -> dict[Account, Tally]:
    return added((_account(one), _tally(one)) for one in figures if one["table"] == table)


def _tally(figure: _Document) -> Tally:
    amounts = [figure.get("quantities", {}).get(str(unit), 0) for unit in range(len(UNITS))]
    return (
        figure["events"],
        *amounts,
        *(sum(figure.get(name, {}).values()) for name in ("latency", "first_token")),
    )


def _account(fields: _Document) -> Account:
    return Account(fields["user_id"], fields["model"], fields["status"], fields["refused"])
