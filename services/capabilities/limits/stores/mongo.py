"""Counts in MongoDB, which all replicas of a service share."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from services.capabilities.limits.model import WINDOW_SECONDS, Count
from services.capabilities.limits.stores.gathering import ANSWER_SECONDS, GatheredCounts, Key, Window
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated
from services.kernel.errors import Unavailable

_PRUNE_BATCH = 1000
_AT_ONCE = 32
_ATTEMPTS = 5
_CLOCK_SECONDS = 60.0
_SERVICE = re.compile(r"[a-z][a-z0-9_]{0,62}")


class MongoCounters:
    """Keeps the promises of Counters by one document per class and caller in `<service>_limits`: `ends_at`, a date, and `used`.

    A window is raised by one step of the server, and begun by another that only one process succeeds with. Time is the server's, which is
    asked now and then and counted on from. See GatheredCounts for what happens around it. `aclose` at the end.
    """

    def __init__(
        self,
        mongo: Mongo,
        service: str,
        *,
        window: float = WINDOW_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The server may take `answer_seconds`, the making of a connection included."""
        if not _SERVICE.fullmatch(service):
            raise ValueError(f"{service!r} is not the name of a service")
        self._mongo = mongo
        # Counts that a crash of the server swallows are of no use to anybody, so nobody waits for its disk.
        self._limits = mongo.database.get_collection(
            f"{service}_limits", write_concern=WriteConcern(w=1, j=False), read_concern=ReadConcern("local")
        )
        self._window = timedelta(seconds=window)
        self._ahead = timedelta(seconds=answer_seconds)
        self._counts = GatheredCounts(service, self._raise, answer_seconds=answer_seconds, clock=clock)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._server_time: tuple[float, datetime] | None = None

    async def take(self, name: str, caller: str, limit: int) -> Count:
        """See `Counters`."""
        return await self._counts.take(name, caller, limit)

    async def prune(self) -> int:
        """See `Counters`."""
        self._counts.forget_ended()
        with translated():
            now = await self._now()
            ended = {"ends_at": {"$lte": now}}
            found = self._limits.find(ended, {"_id": 1}).sort("ends_at", 1).limit(_PRUNE_BATCH)
            ids = [document["_id"] async for document in found]
            if not ids:
                return 0
            # A window that began meanwhile is not one that has ended.
            return (await self._limits.delete_many({"_id": {"$in": ids}, **ended})).deleted_count

    async def warm(self) -> None:
        """Connect, and make the index that finds what has ended. Raises Unavailable."""
        with translated():
            await self._limits.create_index([("ends_at", 1)])
        await self._counts.warm()

    async def aclose(self) -> None:
        """Tell who waits Unavailable."""
        await self._counts.aclose()

    async def _raise(self, keys: Sequence[Key], wanted: Sequence[int]) -> Mapping[Key, Window]:
        with translated():
            now = await self._now()
            windows = await asyncio.gather(
                *(self._raise_one(key, count, now) for key, count in zip(keys, wanted, strict=True))
            )
        return dict(zip(keys, windows, strict=True))

    async def _raise_one(self, key: Key, wanted: int, now: datetime) -> Window:
        id_ = f"{key[0]} {key[1]}"
        # Windows that end later are those of a clock that was set back, and count for nothing.
        latest = now + self._window + self._ahead
        lasting = {"_id": id_, "ends_at": {"$gt": now, "$lte": latest}}
        ended = {"_id": id_, "$or": [{"ends_at": {"$lte": now}}, {"ends_at": {"$gt": latest}}]}
        begun = {"$set": {"ends_at": now + self._window, "used": wanted}}
        async with self._room:
            for _ in range(_ATTEMPTS):
                found = await self._limits.find_one_and_update(
                    lasting, {"$inc": {"used": wanted}}, return_document=ReturnDocument.AFTER
                )
                if found is None:
                    found = await self._begin(ended, begun)
                if found is not None:
                    return Window(found["used"], max(0.0, (_naive(found["ends_at"]) - now).total_seconds()))
        raise Unavailable("Calls can't be counted now; try again.", retry_after=1.0)

    async def _begin(self, ended: dict[str, Any], begun: dict[str, Any]) -> dict[str, Any] | None:
        """A new window where none lasts; None when another process began it at the same moment."""
        try:
            return await self._limits.find_one_and_update(
                ended, begun, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            return None

    async def _now(self) -> datetime:
        """The server's time, without a zone as the driver has it: as it was told lately, and what has passed since by this process's clock."""
        asked_at = time.monotonic()
        if self._server_time is None or asked_at - self._server_time[0] > _CLOCK_SECONDS:
            told = await self._mongo.database.client.admin.command("isMaster")
            self._server_time = (asked_at, _naive(told["localTime"]))
        told_at, server_time = self._server_time
        return server_time + timedelta(seconds=time.monotonic() - told_at)


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)
