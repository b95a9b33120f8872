"""Parts of a statement that read the rows of some stretches of time, a table each, and the values for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.analytics.stores.covering import Grain, Stretch
from services.analytics.stores.layout import UNIT_COLUMNS, once
from services.analytics.stores.months import first_uuid_at

UNION = " union all "

_OF_EVENT = {
    "events": "1::bigint",
    **{unit: f"coalesce(f.{unit}, 0)" for unit in UNIT_COLUMNS},
    "latency": f"case when f.latency_bucket is not null then array[{once('f.latency_bucket')}] end",
    "first_token": f"case when f.first_token_bucket is not null then array[{once('f.first_token_bucket')}] end",
}


def rows_of(
    table: str, columns: Sequence[str], name: str, *, key: str = "series_id", by_series: bool = False
) -> str:
    """Select place, series_id and the columns of a table's rows, `key` being what it has for the series_id. `name` is that of the stretches in
    `spans`; `by_series`: of the series in `wanted`, each looked up by its own."""
    # `offset 0` has each stretch looked up by its index, however many rows the planner takes it for.
    return f"""
    select {", ".join(("g.place", f"f.{key} as series_id", *(f"f.{column}" for column in columns)))}
    from {driven(name, by_series=by_series)}
    cross join lateral (
        select * from analytics.{table} f
        where f.interval_start >= g.starts and f.interval_start < g.ends{_of_series(by_series)} offset 0
    ) f"""


def rows_of_events(columns: Sequence[str], name: str, *, of_people: bool, by_series: bool = False) -> str:
    """The same of single events."""
    system = "" if of_people else " join analytics.series p on p.series_id = f.series_id"
    key = "f.series_id" if of_people else "p.system_id"
    told = (f"{_OF_EVENT[column]} as {column}" for column in columns)
    return f"""
    select {", ".join(("g.place", f"{key} as series_id", *told))}
    from {driven(name, "uuid", by_series=by_series)}
    cross join lateral (
        select * from analytics.events f where f.event_id >= g.starts and f.event_id < g.ends{_of_series(by_series)} offset 0
    ) f{system}"""


def driven(name: str, type_: str = "timestamptz", *, by_series: bool = False) -> str:
    """The stretches of that name, as g (starts, ends, place), for each series in `wanted` or once."""
    given = f"unnest(%({name}_starts)s::{type_}[], %({name}_ends)s::{type_}[], %({name}_places)s::int[]) as g (starts, ends, place)"
    return f"wanted w cross join {given}" if by_series else given


def spans(name: str, stretches: Sequence[Stretch], by_step: bool = False) -> dict[str, list[Any]]:
    """The values for stretches, which are all of events or none; the place is the piece's or with `by_step` the step's."""
    return {
        f"{name}_starts": [_bound(one.grain, one.start) for one in stretches],
        f"{name}_ends": [_bound(one.grain, one.end) for one in stretches],
        f"{name}_places": [one.step if by_step else one.piece for one in stretches],
    }


def _bound(grain: Grain, moment: Any) -> Any:
    return first_uuid_at(moment) if grain is Grain.EVENT else moment


def _of_series(by_series: bool) -> str:
    return " and f.series_id = w.series_id" if by_series else ""
