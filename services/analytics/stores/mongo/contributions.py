"""What batches add to figures: it follows from them alone, so that folding one again finds the same documents."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bson.int64 import Int64
from pymongo import UpdateOne

from services.analytics.model.events import UNITS, Series
from services.analytics.model.histogram import bucket_of
from services.analytics.stores.covering import Grain
from services.analytics.stores.mongo.batches import (
    Document,
    end_of,
    key_of,
    parts_of,
    quantities_of,
    series_of,
    systems,
)
from services.analytics.stores.mongo.layout import DAY_MINUTES, MINUTE, PEOPLE_TABLES, SYSTEM_TABLES

_QUARTER_MINUTES = 15
_EVENTS_AT_ONCE = 500


class Place(NamedTuple):
    """Where a figure stands: its table, the minute since 1970 at which its interval began, and the key of its series."""

    table: str
    at: int
    key: str

    @property
    def day(self) -> int:
        """The day since 1970 that it is of."""
        return self.at // DAY_MINUTES

    def id(self, version: int) -> str:
        """The figure's document in a version of its day."""
        return f"{self.table} {self.at} {version} {self.key}"


@dataclass(slots=True)
class Addition:
    """Calls of a series that are added to a figure. `quantities` are by UNITS."""

    series: Series
    events: int = 0
    quantities: list[int] = field(default_factory=lambda: [0] * len(UNITS))
    latency: Counter[int] = field(default_factory=Counter)
    first_token: Counter[int] = field(default_factory=Counter)

    def add(self, other: Addition) -> None:
        """Make it as much greater."""
        self.events += other.events
        for place, amount in enumerate(other.quantities):
            self.quantities[place] += amount
        self.latency.update(other.latency)
        self.first_token.update(other.first_token)

    def update(self, place: Place, version: int, name: str) -> UpdateOne:
        """The write that adds it, unless what `name` stands for is in already: then there is a duplicate key."""
        increments: dict[str, int] = {"events": self.events}
        for unit, amount in enumerate(self.quantities):
            if amount:
                increments[f"quantities.{unit}"] = Int64(amount)
        for field_name, histogram in (("latency", self.latency), ("first_token", self.first_token)):
            for bucket, count in histogram.items():
                increments[f"{field_name}.{bucket}"] = count
        fields = {
            "table": place.table,
            "at": place.at,
            "day": place.day,
            "version": version,
            **self.series._asdict(),
        }
        return UpdateOne(
            {"_id": place.id(version), "batches": {"$ne": name}},
            {"$inc": increments, "$push": {"batches": name}, "$setOnInsert": fields},
            upsert=True,
        )


Additions = dict[Place, Addition]


async def additions_of(batch: Document) -> Additions:
    """What a batch adds to all figures; other tasks get their turn in between."""
    people: Additions = {}
    system: Additions = {}
    for part, ids in parts_of(batch):
        series = series_of(part)
        system_series = systems(series)
        system_key = key_of(system_series)
        columns = zip(ids, part["latencies"], part["first_tokens"], quantities_of(part), strict=True)
        for number, (event_id, latency, first_token, quantities) in enumerate(columns):
            if number % _EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
            minute = end_of(event_id) // MINUTE
            quarter = minute // _QUARTER_MINUTES * _QUARTER_MINUTES
            latency_bucket = bucket_of(latency)
            token_bucket = -1 if first_token < 0 else bucket_of(first_token)
            for addition in (
                _at(people, Place(PEOPLE_TABLES[Grain.QUARTER], quarter, part["key"]), series),
                _at(system, Place(SYSTEM_TABLES[Grain.MINUTE], minute, system_key), system_series),
            ):
                addition.events += 1
                for place, amount in enumerate(quantities):
                    addition.quantities[place] += amount
                if not series.refused:
                    addition.latency[latency_bucket] += 1
                    if token_bucket >= 0:
                        addition.first_token[token_bucket] += 1
    quarters = _coarser(system, SYSTEM_TABLES[Grain.QUARTER], _QUARTER_MINUTES)
    return {
        **people,
        **_coarser(people, PEOPLE_TABLES[Grain.DAY], DAY_MINUTES),
        **system,
        **quarters,
        **_coarser(quarters, SYSTEM_TABLES[Grain.DAY], DAY_MINUTES),
    }


def _coarser(additions: Additions, table: str, minutes: int) -> Additions:
    found: Additions = {}
    for place, addition in additions.items():
        at = place.at // minutes * minutes
        _at(found, Place(table, at, place.key), addition.series).add(addition)
    return found


def _at(additions: Additions, place: Place, series: Series) -> Addition:
    addition = additions.get(place)
    if addition is None:
        addition = additions[place] = Addition(series)
    return addition


def added(total: Additions, more: Mapping[Place, Addition]) -> None:
    """Make a total as much greater."""
    for place, addition in more.items():
        _at(total, place, addition.series).add(addition)


def days_of(additions: Collection[Place]) -> set[int]:
    """The days since 1970 that they are of."""
    return {place.day for place in additions}


def people_in(additions: Additions) -> set[str]:
    """Whose calls they are."""
    return {addition.series.user_id for addition in additions.values()} - {""}


def documents_of(additions: Additions, versions: Mapping[int, Collection[int]]) -> Iterator[str]:
    """The documents of all figures in these versions of their days."""
    for place in additions:
        for version in versions[place.day]:
            yield place.id(version)
