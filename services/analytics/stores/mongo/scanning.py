"""Reads single events out of batches."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.analytics.model.events import Series
from services.analytics.model.figures import Dimension, Filter
from services.analytics.stores.mongo.batches import Document, end_of, parts_of, quantities_of, series_of
from services.analytics.stores.mongo.layout import MINUTE
from services.infra.mongo.client import Mongo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RUNS_AT_ONCE = 100


class Run(NamedTuple):
    """[start, end) in microseconds since 1970."""

    start: int
    end: int


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The moment so many microseconds after 1970 began."""
    return _EPOCH + timedelta(microseconds=micros)


class Call(NamedTuple):
    """An event of the run that stands at `run` among those that were asked for. `quantities` are by UNITS."""

    run: int
    series: Series
    latency: int
    first_token: int
    quantities: tuple[int, ...]


def conditions_of(which: Filter, prefix: str = "") -> Document:
    """What finds the documents that have the filter's values in fields of these names."""
    found: Document = {
        prefix + dimension.value: {"$in": list(values)} for dimension, values in which.values.items()
    }
    if which.refused is not None:
        found[prefix + "refused"] = which.refused
    return found


def counts(series: Series, which: Filter) -> bool:
    """Whether the filter lets calls of the series count."""
    return which.refused in (None, series.refused) and all(
        getattr(series, dimension.value) in values for dimension, values in which.values.items()
    )


def minutes_of(start: int, end: int) -> Document:
    """What finds the batches that have events of [start, end), and maybe others."""
    return {"minutes": {"$elemMatch": {"$gte": start // MINUTE, "$lt": -(-end // MINUTE)}}}


def wanted_batches(runs: Sequence[Run], which: Filter) -> Document:
    """What finds the batches that may have events of these times that the filter lets count."""
    times = [minutes_of(run.start, run.end) for run in runs]
    wanted: Document = {"$or": times} if len(times) > 1 else times[0]
    if Dimension.USER in which.values:
        wanted = {**wanted, "parts.user_id": {"$in": list(which.values[Dimension.USER])}}
    return wanted


class Scanning:
    """Looks at single events."""

    def __init__(self, mongo: Mongo) -> None:
        self._batches = mongo["analytics_batches"]

    async def calls(self, runs: Sequence[Run], which: Filter) -> AsyncIterator[Call]:
        """The events of these times, which ascend and do not overlap, in no order. Other tasks get their turn in between."""
        for first in range(0, len(runs), _RUNS_AT_ONCE):
            some = runs[first : first + _RUNS_AT_ONCE]
            async for batch in self._batches.find(wanted_batches(some, which)):
                for call in _calls_of(batch, some, which):
                    yield call._replace(run=first + call.run)
                await asyncio.sleep(0)


def _calls_of(batch: Document, runs: Sequence[Run], which: Filter) -> Iterator[Call]:
    starts = [run.start for run in runs]
    for part, ids in parts_of(batch):
        series = series_of(part)
        if not counts(series, which):
            continue
        columns = zip(ids, part["latencies"], part["first_tokens"], quantities_of(part), strict=True)
        for event_id, latency, first_token, quantities in columns:
            end = end_of(event_id)
            run = bisect.bisect_right(starts, end) - 1
            if run >= 0 and end < runs[run].end:
                yield Call(run, series, latency, first_token, quantities)
