"""The one statement that stores a batch and counts it, and the values that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from services.analytics.model.events import RecordedEvent, Series
from services.analytics.model.histogram import bucket_of
from services.analytics.stores.covering import Grain
from services.analytics.stores.layout import DAY_LOCK, UNIT_COLUMNS, interval_of, once
from services.analytics.stores.series import SeriesIds
from services.infra.postgres.binary import (
    Kind,
    bigints,
    smallints,
    texts,
    timestamptzs,
    uuids_of_texts,
)
from services.infra.postgres.prepared import PreparedStatement

_UNITS = ", ".join(UNIT_COLUMNS)
_DAY = 86_400_000_000
_NONE = -1

# Figures of minutes and series, of events in `fresh`; durations are items of one each. What a batch adds is rows of its own, so that
# batches never wait for one another.
SUMMED_UP = f"""
insert into analytics.unfolded (interval_start, series_id, system_id, events, {_UNITS}, latency, first_token)
select s.interval_start, s.series_id, k.system_id, s.events, {", ".join(f"s.{unit}" for unit in UNIT_COLUMNS)}, s.latency, s.first_token
from (
    select {interval_of(Grain.MINUTE, "ended_at")} as interval_start, series_id, count(*) as events,
           {", ".join(f"coalesce(sum({unit}), 0)::bigint as {unit}" for unit in UNIT_COLUMNS)},
           array_agg({once("latency_bucket")}) filter (where latency_bucket is not null) as latency,
           array_agg({once("first_token_bucket")}) filter (where first_token_bucket is not null) as first_token
    from fresh group by 1, 2
) s
"""

# Events come in the order of their ids, so that two batches with the same ones wait for one another and never in a circle. Whoever makes
# a day's figures anew is waited for before anything is stored. Arrays of units that nobody used are empty, and their columns null.
_RECORD = f"""
with fresh as (
    insert into analytics.events (event_id, series_id, ended_at, started_at, latency, first_token, latency_bucket, first_token_bucket,
                                  session_id, request_id, {_UNITS})
    select event_id, series_id, ended_at, started_at, latency, nullif(first_token, {_NONE}),
           nullif(latency_bucket, {_NONE}::smallint), nullif(first_token_bucket, {_NONE}::smallint),
           case when series_id = any (gone.series_ids) then '' else session_id end,
           case when series_id = any (gone.series_ids) then '' else request_id end, {_UNITS}
    from (
        select coalesce(array_agg(series_id), '{{}}') as series_ids
        from analytics.series where series_id = any (%(series_ids)s) and forgotten
    ) gone, unnest(
        %(event_id)s, %(series_id)s, %(ended_at)s, %(started_at)s, %(latency)s, %(first_token)s, %(latency_bucket)s,
        %(first_token_bucket)s, %(session_id)s, %(request_id)s, {", ".join(f"%({unit})s" for unit in UNIT_COLUMNS)}
    ) as batch (event_id, series_id, ended_at, started_at, latency, first_token, latency_bucket, first_token_bucket, session_id,
                request_id, {_UNITS})
    where (select count(pg_advisory_xact_lock_shared({DAY_LOCK}, day::int)) from unnest(%(days)s) day) > 0
    on conflict do nothing
    returning series_id, ended_at, latency_bucket, first_token_bucket, {_UNITS}
), counted as (
    {SUMMED_UP} join unnest(%(series_ids)s, %(system_ids)s) as k (series_id, system_id) on k.series_id = s.series_id
    returning events
)
select coalesce(sum(events), 0)::bigint, count(*) from counted
"""

RECORD = PreparedStatement(
    _RECORD,
    {
        "event_id": Kind.UUIDS,
        "series_id": Kind.BIGINTS,
        "ended_at": Kind.TIMESTAMPTZS,
        "started_at": Kind.TIMESTAMPTZS,
        "latency": Kind.BIGINTS,
        "first_token": Kind.BIGINTS,
        "latency_bucket": Kind.SMALLINTS,
        "first_token_bucket": Kind.SMALLINTS,
        "session_id": Kind.TEXTS,
        "request_id": Kind.TEXTS,
        **dict.fromkeys(UNIT_COLUMNS, Kind.BIGINTS),
        "days": Kind.BIGINTS,
        "series_ids": Kind.BIGINTS,
        "system_ids": Kind.BIGINTS,
    },
)
"""Returns how many events were new, and how many rows they added up to."""


def record_values(events: Sequence[RecordedEvent], known: Mapping[Series, SeriesIds]) -> dict[str, bytes]:
    """What RECORD takes; `known` has the series of them all."""
    ordered = sorted(events, key=itemgetter(0))
    event_ids, series, ends, starts, latencies, first_tokens, session_ids, request_ids, quantities = (
        zip(*ordered, strict=True) if ordered else ((),) * len(RecordedEvent._fields)
    )
    amounts = list(zip(*quantities, strict=True)) or [()] * len(UNIT_COLUMNS)
    ids = set(known.values())
    return {
        "event_id": uuids_of_texts(event_ids),
        "series_id": bigints([known[one].series_id for one in series]),
        "ended_at": timestamptzs(ends),
        "started_at": timestamptzs(starts),
        "latency": bigints(latencies),
        "first_token": bigints(first_tokens),
        "latency_bucket": smallints(
            [
                _NONE if one.refused else bucket_of(latency)
                for one, latency in zip(series, latencies, strict=True)
            ]
        ),
        "first_token_bucket": smallints(
            [
                _NONE if one.refused or first_token < 0 else bucket_of(first_token)
                for one, first_token in zip(series, first_tokens, strict=True)
            ]
        ),
        "session_id": texts(session_ids),
        "request_id": texts(request_ids),
        **{
            unit: bigints(used if any(used) else ()) for unit, used in zip(UNIT_COLUMNS, amounts, strict=True)
        },
        "days": bigints(sorted({end // _DAY for end in ends})),
        "series_ids": bigints([one.series_id for one in ids]),
        "system_ids": bigints([one.system_id for one in ids]),
    }
