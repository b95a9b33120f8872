"""Who called, and how often: from the rows of callers for whole hours and days, which are few, and of what is finer for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.analytics.model.figures import Dimension, Filter, Question
from services.analytics.stores.covering import CALLER_GRAINS, Coverage, Grain, covered, joined, without_gaps
from services.analytics.stores.layout import CALLER_TABLES, USER_TABLES
from services.analytics.stores.rows import UNION, driven, rows_of, rows_of_events, spans
from services.analytics.stores.sources import Conditions


class Calls(NamedTuple):
    """A query for rows of user_id and events, several for each person, and its values; empty when there is nothing to look at."""

    sql: str
    values: Mapping[str, Any]


def are_told_by_calls(which: Filter) -> bool:
    """Whether calls are all that has to be known of who makes those that the filter lets count: all of them, or those of some services."""
    return which.refused is None and which.values.keys() <= {Dimension.SERVICE_TYPE}


def calls_of(question: Question, kept: Coverage, conditions: Conditions) -> Calls:
    """The calls of all pieces of a question whose filter is told by them. What the conditions name is the service, which callers and series have
    alike."""
    stretches = covered(joined(question.pieces), CALLER_GRAINS, kept)
    own = {grain: [one for one in stretches if one.grain is grain] for grain in Grain}
    values = dict(conditions.values)
    calls, finer = [], []
    for grain, table in CALLER_TABLES.items():
        if own[grain]:
            name = grain.name.lower()
            calls.append(_of_callers(table, name, conditions.texts))
            values |= spans(name, own[grain])
    if own[Grain.QUARTER]:
        finer.append(rows_of(USER_TABLES[Grain.QUARTER], ("events",), "quarter"))
        values |= spans("quarter", own[Grain.QUARTER])
    if figures := [one for one in stretches if one.grain is not Grain.EVENT]:
        finer.append(rows_of("unfolded", ("events",), "unfolded"))
        values |= spans("unfolded", without_gaps(figures))
    if own[Grain.EVENT]:
        finer.append(rows_of_events(("events",), "event", of_people=True))
        values |= spans("event", own[Grain.EVENT])
    if finer:
        calls.append(_of_series(UNION.join(finer), conditions.texts))
    return Calls(UNION.join(calls), values)


def _of_callers(table: str, name: str, conditions: Sequence[str]) -> str:
    wanted = " and ".join(("f.interval_start >= g.starts", "f.interval_start < g.ends", *conditions))
    return f"""
    select f.user_id, f.events from {driven(name)} cross join lateral (
        select * from analytics.{table} f where {wanted} offset 0
    ) f"""


def _of_series(rows: str, conditions: Sequence[str]) -> str:
    wanted = " and ".join(("true", *conditions))
    return f"""
    select s.user_id, r.events
    from (select series_id, sum(events)::bigint as events from ({rows}) rows group by series_id) r
    join analytics.series s using (series_id) where {wanted}"""
