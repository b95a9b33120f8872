"""Answers questions from figures, and from single events where no figure is fine enough."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from services.analytics.model.events import UNITS, Series
from services.analytics.model.figures import Durations, Group, Question, Sum
from services.analytics.model.histogram import bucket_of
from services.analytics.stores.covering import Coverage, Grain, Stretch, covered
from services.analytics.stores.mongo import pipelines
from services.analytics.stores.mongo.batches import Document
from services.analytics.stores.mongo.days import Days
from services.analytics.stores.mongo.layout import PEOPLE_TABLES, SYSTEM_TABLES
from services.analytics.stores.mongo.pipelines import Times, group_of
from services.analytics.stores.mongo.scanning import Call, Run, Scanning, to_micros
from services.infra.mongo.client import Mongo

_ROWS_AT_ONCE = 500


class _Key(NamedTuple):
    piece: int
    group: Group
    model: str
    variant: str
    units: int


class _Totals:
    """Sums while they are made: calls by status from 1 to 3, those that were refused, and quantities by UNITS."""

    def __init__(self) -> None:
        self.statuses = [0, 0, 0]
        self.refused = 0
        self.quantities = [0] * len(UNITS)

    def add(self, events: int, status: int, is_refused: bool, quantities: Sequence[int]) -> None:
        self.statuses[status - 1] += events
        self.refused += events if is_refused else 0
        for place, amount in enumerate(quantities):
            self.quantities[place] += amount


_Sums = defaultdict[_Key, _Totals]


class Answering:
    """Answers questions; `kept` says what there is. What arrives meanwhile may be in an answer or not."""

    def __init__(self, mongo: Mongo, days: Days, kept: Callable[[], Coverage]) -> None:
        self._figures = mongo["analytics_figures"]
        self._days = days
        self._scanning = Scanning(mongo)
        self._kept = kept

    async def sums(self, question: Question, groups: Sequence[Group] | None = None) -> list[Sum]:
        """See `ports.UsageStore`."""
        found: _Sums = defaultdict(_Totals)
        stretches = self._stretches(question, is_of_people=question.is_of_people)
        async for stretch, call in self._calls(question, stretches):
            series = call.series
            key = _Key(stretch.piece, _group(question, series), series.model, series.variant, series.units)
            found[key].add(1, series.status, series.refused, call.quantities)
        figures = _times(stretches, question.is_of_people, by_step=False)
        only: Document = {}
        told = None if groups is None else set(groups)
        if told is None and question.limit is not None and question.group_by:
            told = await self._greatest(question, question.limit, found, figures)
        if told is not None:
            if not told:
                return []
            found = defaultdict(_Totals, {key: value for key, value in found.items() if key.group in told})
            only = pipelines.only(question.group_by, sorted(told))
        for times in figures:
            match = {**await self._match(times, question), **only}
            async for row in self._rows(pipelines.sums(match, times, question.group_by)):
                id_ = row["_id"]
                piece = times.number_of(id_.get("at"))
                group = group_of(id_, question.group_by)
                key = _Key(piece, group, id_["model"], id_["variant"], id_["units"])
                quantities = [row[f"u{place}"] for place in range(len(UNITS))]
                found[key].add(row["events"], id_["status"], id_["refused"], quantities)
        return [_sum(key, totals) for key, totals in found.items()]

    async def durations(self, question: Question, groups: Sequence[Group] | None) -> list[Durations]:
        """See `ports.UsageStore`."""
        if groups is not None and not groups:
            return []
        wanted = None if groups is None else set(groups)
        only = {} if groups is None else pipelines.only(question.group_by, groups)
        latency: defaultdict[tuple[int, Group], Counter[int]] = defaultdict(Counter)
        first_token: defaultdict[tuple[int, Group], Counter[int]] = defaultdict(Counter)
        stretches = self._stretches(question, is_of_people=question.is_of_people)
        async for stretch, call in self._calls(question, stretches):
            group = _group(question, call.series)
            if not call.series.refused and (wanted is None or group in wanted):
                latency[stretch.step, group][bucket_of(call.latency)] += 1
                if call.first_token >= 0:
                    first_token[stretch.step, group][bucket_of(call.first_token)] += 1
        for times in _times(stretches, question.is_of_people, by_step=True):
            match = {**await self._match(times, question), **only}
            for name, histograms in (("latency", latency), ("first_token", first_token)):
                pipeline = pipelines.histograms(match, times, question.group_by, name)
                async for row in self._rows(pipeline):
                    id_ = row["_id"]
                    step, group = times.number_of(id_.get("at")), group_of(id_, question.group_by)
                    histograms[step, group][int(id_["bucket"])] += row["count"]
        return [
            Durations(step, group, counts, first_token[step, group])
            for (step, group), counts in latency.items()
        ]

    async def user_count(self, question: Question) -> int:
        """See `ports.UsageStore`."""
        stretches = self._stretches(question, is_of_people=True)
        found = {call.series.user_id async for _, call in self._calls(question, stretches)}
        for times in _times(stretches, True, by_step=False):
            pipeline = pipelines.people(await self._match(times, question))
            found |= {row["_id"] async for row in self._rows(pipeline)}
        return len(found - {""})

    def _stretches(self, question: Question, *, is_of_people: bool) -> list[Stretch]:
        tables = PEOPLE_TABLES if is_of_people else SYSTEM_TABLES
        return covered(question.pieces, (*tables, Grain.EVENT), self._kept())

    async def _match(self, times: Times, question: Question) -> Document:
        return times.match(await self._days.counting(*times.days), question.filter)

    async def _calls(
        self, question: Question, stretches: Sequence[Stretch]
    ) -> AsyncIterator[tuple[Stretch, Call]]:
        """The single events that no figure answers for."""
        single = [stretch for stretch in stretches if stretch.grain is Grain.EVENT]
        runs = [Run(to_micros(stretch.start), to_micros(stretch.end)) for stretch in single]
        async for call in self._scanning.calls(runs, question.filter):
            yield single[call.run], call

    async def _rows(self, pipeline: Sequence[Document]) -> AsyncIterator[Document]:
        """What the server adds up; other tasks get their turn in between."""
        number = 0
        async for row in await self._figures.aggregate(pipeline, allowDiskUse=True):
            yield row
            number += 1
            if number % _ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _greatest(
        self, question: Question, limit: int, singles: _Sums, figures: Sequence[Times]
    ) -> set[Group]:
        """The groups with the most events."""
        sizes: Counter[Group] = Counter()
        for key, totals in singles.items():
            sizes[key.group] += sum(totals.statuses)
        for times in figures:
            pipeline = pipelines.sizes(await self._match(times, question), question.group_by)
            async for row in self._rows(pipeline):
                sizes[group_of(row["_id"], question.group_by)] += row["events"]
        return {group for group, _ in sizes.most_common(limit)}


def _times(stretches: Sequence[Stretch], is_of_people: bool, *, by_step: bool) -> list[Times]:
    """The stretches that figures answer for, by their tables."""
    by_grain: defaultdict[Grain, list[Stretch]] = defaultdict(list)
    for stretch in stretches:
        if stretch.grain is not Grain.EVENT:
            by_grain[stretch.grain].append(stretch)
    tables = PEOPLE_TABLES if is_of_people else SYSTEM_TABLES
    return [
        Times(tables[grain], those, [each.step if by_step else each.piece for each in those])
        for grain, those in by_grain.items()
    ]


def _group(question: Question, series: Series) -> Group:
    return tuple(getattr(series, dimension.value) for dimension in question.group_by)


def _sum(key: _Key, totals: _Totals) -> Sum:
    success, error, cancelled = totals.statuses
    return Sum(
        *key, sum(totals.statuses), success, error, cancelled, totals.refused, tuple(totals.quantities)
    )
