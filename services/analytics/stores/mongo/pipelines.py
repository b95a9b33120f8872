"""What the server is asked to add up of figures."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.analytics.model.events import UNITS
from services.analytics.model.figures import Dimension, Filter, Group
from services.analytics.stores.covering import Stretch
from services.analytics.stores.mongo.batches import Document
from services.analytics.stores.mongo.layout import DAY_MINUTES, MINUTE
from services.analytics.stores.mongo.scanning import conditions_of, to_micros


def minute_of(moment: datetime) -> int:
    """The minute since 1970 that a moment is in."""
    return to_micros(moment) // MINUTE


def _minute_of_start(stretch: Stretch) -> int:
    return minute_of(stretch.start)


@dataclass(frozen=True, slots=True)
class Times:
    """The intervals of one table that a question is about. `stretches` ascend and do not overlap; `numbers` are those of their pieces or steps,
    whichever are told apart."""

    table: str
    stretches: Sequence[Stretch]
    numbers: Sequence[int]

    @property
    def days(self) -> tuple[int, int]:
        """The first and the last day since 1970."""
        first, last = minute_of(self.stretches[0].start), minute_of(self.stretches[-1].end)
        return first // DAY_MINUTES, (last - 1) // DAY_MINUTES

    def number_of(self, at: int | None) -> int:
        """The number of the interval that begins at this minute, as `key` has it."""
        if at is None:
            return self.numbers[0]
        return self.numbers[bisect.bisect_right(self.stretches, at, key=_minute_of_start) - 1]

    @property
    def key(self) -> Document:
        """What tells their numbers apart: nothing where all are the same, so that the server adds up more."""
        return {"at": "$at"} if len(set(self.numbers)) > 1 else {}

    def match(self, versions: Mapping[int, int], which: Filter) -> Document:
        """What finds their figures; `versions` are those of days that have not version 0."""
        alternatives = [{"at": {"$gte": first, "$lt": last}} for first, last in self._runs()]
        conditions: list[Document] = [{"$or": alternatives} if len(alternatives) > 1 else alternatives[0]]
        if versions:
            others: Document = {"version": 0, "day": {"$nin": list(versions)}}
            anew = [{"day": day, "version": version} for day, version in versions.items()]
            conditions.append({"$or": [others, *anew]})
        else:
            conditions.append({"version": 0})
        return {"table": self.table, **conditions_of(which), "$and": conditions}

    def _runs(self) -> Iterator[tuple[int, int]]:
        first = last = minute_of(self.stretches[0].start)
        for stretch in self.stretches:
            start = minute_of(stretch.start)
            if start != last:
                yield first, last
                first = start
            last = minute_of(stretch.end)
        yield first, last


def group_key(group_by: Sequence[Dimension]) -> Document:
    """What tells the groups of a question apart."""
    return {f"d{place}": f"${dimension.value}" for place, dimension in enumerate(group_by)}


def group_of(key: Mapping[str, str | int], group_by: Sequence[Dimension]) -> Group:
    """The group that such a key is of."""
    return tuple(key[f"d{place}"] for place in range(len(group_by)))


def only(group_by: Sequence[Dimension], groups: Sequence[Group]) -> Document:
    """What finds the figures of some groups, of which there is one at least."""
    if not group_by:
        return {}
    if len(group_by) == 1:
        return {group_by[0].value: {"$in": [value for (value,) in groups]}}
    fields = [dimension.value for dimension in group_by]
    return {"$or": [dict(zip(fields, group, strict=True)) for group in groups]}


def sizes(match: Document, group_by: Sequence[Dimension]) -> list[Document]:
    """How many calls each group has."""
    return [{"$match": match}, {"$group": {"_id": group_key(group_by), "events": {"$sum": "$events"}}}]


def sums(match: Document, times: Times, group_by: Sequence[Dimension]) -> list[Document]:
    """How many calls of each group are priced alike and ended alike, and what they used."""
    own = {name: f"${name}" for name in ("model", "variant", "units", "status", "refused")}
    used = {f"u{place}": {"$sum": f"$quantities.{place}"} for place in range(len(UNITS))}
    key = {**times.key, **group_key(group_by), **own}
    return [{"$match": match}, {"$group": {"_id": key, "events": {"$sum": "$events"}, **used}}]


def histograms(match: Document, times: Times, group_by: Sequence[Dimension], name: str) -> list[Document]:
    """The histogram of this name of each group, bucket by bucket."""
    key = {**times.key, **group_key(group_by), "bucket": "$of.k"}
    kept = {dimension.value: 1 for dimension in group_by}
    return [
        {"$match": {**match, name: {"$exists": True}}},
        {"$project": {"at": 1, **kept, "of": {"$objectToArray": f"${name}"}}},
        {"$unwind": "$of"},
        {"$group": {"_id": key, "count": {"$sum": "$of.v"}}},
    ]


def people(match: Document) -> list[Document]:
    """Whose calls they are."""
    return [{"$match": match}, {"$group": {"_id": "$user_id"}}]
