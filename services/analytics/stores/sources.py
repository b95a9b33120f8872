"""Where a question's figures come from: the rows of several tables, as one source for its statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.analytics.model.figures import Dimension, Filter, Group, Question
from services.analytics.stores.covering import (
    PEOPLE_GRAINS,
    SYSTEM_GRAINS,
    Coverage,
    Grain,
    covered,
    joined,
    without_gaps,
)
from services.analytics.stores.layout import SYSTEM_TABLES, UNIT_COLUMNS, USER_TABLES
from services.analytics.stores.rows import UNION, driven, rows_of, rows_of_events, spans

SUMS = ("events", *UNIT_COLUMNS)
DURATIONS = ("latency", "first_token")

_NUMBERS = frozenset({Dimension.SERVICE_TYPE, Dimension.STATUS, Dimension.PROVENANCE})
# A person's series are few, and found by an index. A project may be everybody's.
_OF_FEW = frozenset({Dimension.USER, Dimension.API_KEY})


def type_of(dimension: Dimension) -> str:
    """What PostgreSQL takes its values for."""
    return "int" if dimension in _NUMBERS else "text"


@dataclass
class Conditions:
    """What a statement asks of a series, and the values for it. `is_of_few`: few series fulfil it, as far as can be told."""

    texts: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    is_of_few: bool = False

    def add_filter(self, which: Filter) -> None:
        """The series that a filter lets count."""
        for dimension, wanted in which.values.items():
            name = f"wanted_{dimension.value}"
            self.texts.append(f"{dimension.value} = any (%({name})s::{type_of(dimension)}[])")
            self.values[name] = list(wanted)
        if which.refused is not None:
            self.texts.append("refused" if which.refused else "not refused")
        self.is_of_few |= not _OF_FEW.isdisjoint(which.values)

    def add_groups(self, group_by: Sequence[Dimension], groups: Collection[Group]) -> None:
        """The series of some groups only."""
        if not group_by:
            self.texts.append("true" if groups else "false")
            return
        columns = list(zip(*groups, strict=True)) or [()] * len(group_by)
        arrays = []
        for place, (dimension, column) in enumerate(zip(group_by, columns, strict=True)):
            arrays.append(f"%(group_{place})s::{type_of(dimension)}[]")
            self.values[f"group_{place}"] = list(column)
        names = ", ".join(dimension.value for dimension in group_by)
        self.texts.append(f"({names}) in (select * from unnest({', '.join(arrays)}))")
        self.is_of_few |= not _OF_FEW.isdisjoint(group_by)


@dataclass(frozen=True, slots=True)
class Source:
    """Named queries for the `with` of a statement, and their values: `wanted` has the series (series_id, the dimensions of the question as
    g0, g1 …, model, variant, units, status, refused, user_id), and `found` their figures (place, series_id, and the columns that were asked
    for). Those of the system's tables are in `of_system`, as their histograms are of another form. Each is empty when there is nothing to
    look at."""

    wanted: str
    found: str
    of_system: str
    values: Mapping[str, Any]


def source(
    question: Question,
    columns: Sequence[str],
    kept: Coverage,
    conditions: Conditions,
    *,
    by_step: bool = False,
    of_people: bool,
) -> Source:
    """The source of a question's answer; `place` is the piece's or with `by_step` the step's. `of_people`: from the figures of people."""
    stretches = covered(question.pieces, PEOPLE_GRAINS if of_people else SYSTEM_GRAINS, kept)
    # Where few series are wanted, each is looked up; otherwise all rows of the time are read.
    by_series = of_people and conditions.is_of_few
    values = dict(conditions.values)
    branches: list[str] = []
    of_system: list[str] = []
    for grain, table in (USER_TABLES if of_people else SYSTEM_TABLES).items():
        if own := [one for one in stretches if one.grain is grain]:
            branch = rows_of(table, columns, grain.name.lower(), by_series=by_series)
            (branches if of_people else of_system).append(branch)
            values |= spans(grain.name.lower(), own, by_step)
    if figures := [one for one in stretches if one.grain is not Grain.EVENT]:
        key = "series_id" if of_people else "system_id"
        branches.append(rows_of("unfolded", columns, "unfolded", key=key))
        values |= spans("unfolded", without_gaps(figures), by_step)
    if events := [one for one in stretches if one.grain is Grain.EVENT]:
        branches.append(rows_of_events(columns, "event", of_people=of_people, by_series=by_series))
        values |= spans("event", events, by_step)
    wanted = _wanted(question.group_by, conditions, of_people)
    return Source(wanted, UNION.join(branches), UNION.join(of_system), values)


def presence(question: Question, kept: Coverage, conditions: Conditions) -> Source:
    """The source of an answer about who was there at all: `wanted` has the series of people that have figures in the question's time, and goes
    by `found`, which must not be empty."""
    stretches = covered(joined(question.pieces), PEOPLE_GRAINS, kept)
    values = dict(conditions.values)
    there = ["series_id in (select series_id from found)"]
    for grain, table in USER_TABLES.items():
        if own := [one for one in stretches if one.grain is grain]:
            # Each series is looked up, and what it has is not: people are fewer than their days.
            there.append(f"""exists (
                select from {driven(grain.name.lower())} cross join lateral (
                    select from analytics.{table} f
                    where f.series_id = w.series_id and f.interval_start >= g.starts and f.interval_start < g.ends limit 1
                ) f)""")
            values |= spans(grain.name.lower(), own)
    figures = [one for one in stretches if one.grain is not Grain.EVENT]
    events = [one for one in stretches if one.grain is Grain.EVENT]
    values |= spans("unfolded", without_gaps(figures)) | spans("event", events)
    found = (rows_of("unfolded", (), "unfolded"), rows_of_events((), "event", of_people=True))
    texts = ("system_id is not null", *conditions.texts, f"({' or '.join(there)})")
    wanted = f"select user_id from analytics.series w where {' and '.join(texts)}"
    return Source(wanted, UNION.join(found), "", values)


def _wanted(group_by: Sequence[Dimension], conditions: Conditions, of_people: bool) -> str:
    groups = "".join(
        f", {dimension.value}::{type_of(dimension)} as g{place}" for place, dimension in enumerate(group_by)
    )
    kind = "system_id is not null" if of_people else "system_id is null"
    return f"""
    select series_id{groups}, model, variant, units, status, refused, user_id
    from analytics.series where {" and ".join((kind, *conditions.texts))}"""
