"""The tables of figures, and the parts that statements on them share."""

from __future__ import annotations

from services.analytics.model.events import UNITS
from services.analytics.stores.covering import Grain

UNIT_COLUMNS = tuple(unit.name.lower() for unit in UNITS)
"""The columns of quantities, by UNITS."""

SYSTEM_TABLES = {
    Grain.DAY: "system_days",
    Grain.HOUR: "system_hours",
    Grain.QUARTER: "system_quarters",
    Grain.MINUTE: "system_minutes",
}
USER_TABLES = {Grain.DAY: "user_days", Grain.QUARTER: "user_quarters"}
CALLER_TABLES = {Grain.DAY: "caller_days", Grain.HOUR: "caller_hours"}
"""How many calls each person made of each service, and nothing else of them: so that whoever called most is found among few rows."""
FIGURE_TABLES = (*SYSTEM_TABLES.values(), *USER_TABLES.values(), *CALLER_TABLES.values())

# Advisory locks: the first of their two numbers, "ana" in ASCII and what is locked.
DAY_LOCK = 0x616E6101
"""With the number of a day since 1970: shared by whoever records events of it, alone for whoever makes its figures anew."""
FOLD_LOCK = 0x616E6102
"""Alone for whoever changes folded figures."""
MONTH_LOCK = 0x616E6103
"""Alone for whoever makes or drops partitions of events."""

_BUCKET_BITS = 11
BUCKET = f"item & {(1 << _BUCKET_BITS) - 1}"
COUNT = f"item >> {_BUCKET_BITS}"
ITEM = f"(sum({COUNT})::bigint << {_BUCKET_BITS}) | ({BUCKET})"
"""Of a histogram's items: the bucket, its count, and one item of all of them with the same bucket."""


def once(bucket: str) -> str:
    """The item of one duration in the bucket of that column."""
    return f"({1 << _BUCKET_BITS} | {bucket})::bigint"


def interval_of(grain: Grain, column: str) -> str:
    """The start of the interval that the time in the column lies in."""
    return f"date_bin('{grain.seconds} seconds', {column}, timestamptz '1970-01-01 00:00:00+00')"
