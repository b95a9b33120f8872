"""Batches of events as documents, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.analytics.model.events import UNITS, RecordedEvent, Series
from services.analytics.stores.mongo.layout import MINUTE

Document = dict[str, Any]

DUE = "due"
DONE = "done"
"""`fold` of a batch that some figure may not have yet, and of one that all have while a process may still be at it."""


def key_of(series: Series) -> str:
    """What finds the figures of a series: no two have the same."""
    return hashlib.blake2b("\0".join(map(str, series)).encode(), digest_size=16).hexdigest()


def nobodys(series: Series) -> Series:
    """The same calls of nobody."""
    return series._replace(user_id="", api_key_id="")


def systems(series: Series) -> Series:
    """What the calls have in common in the figures of the system, which tell neither people nor projects apart."""
    return nobodys(series)._replace(project="")


def series_of(fields: Document) -> Series:
    """The series whose fields a part or a figure has."""
    return Series._make([fields[name] for name in Series._fields])


def end_of(event_id: str) -> int:
    """When an event counts, in microseconds since 1970."""
    return int(event_id[:8] + event_id[9:13], 16) * 1000


def batch_document(batch_id: str, events: Sequence[RecordedEvent]) -> Document:
    """What `analytics_batches` keeps of events, none of which stands twice."""
    by_series: dict[Series, list[RecordedEvent]] = {}
    for event in events:
        by_series.setdefault(event.series, []).append(event)
    parts = [_part(series, those) for series, those in by_series.items()]
    ids = [event.event_id for those in by_series.values() for event in those]
    return {
        "_id": batch_id,
        "ids": ids,
        "first_id": min(ids),
        "last_id": max(ids),
        "minutes": sorted({event.end_time // MINUTE for event in events}),
        "parts": parts,
        "fold": DUE,
    }


def _part(series: Series, events: Sequence[RecordedEvent]) -> Document:
    columns = zip(*(event.quantities for event in events), strict=True)
    return {
        **series._asdict(),
        "key": key_of(series),
        "starts": [event.start_time for event in events],
        "latencies": [event.latency for event in events],
        "first_tokens": [event.first_token for event in events],
        "session_ids": _unless_empty([event.session_id for event in events]),
        "request_ids": _unless_empty([event.request_id for event in events]),
        "quantities": {str(place): list(column) for place, column in enumerate(columns) if any(column)},
    }


def _unless_empty(texts: list[str]) -> list[str]:
    return texts if any(texts) else []


def parts_of(batch: Document) -> Iterator[tuple[Document, list[str]]]:
    """The parts of a batch, each with the ids of its events."""
    first = 0
    for part in batch["parts"]:
        last = first + len(part["latencies"])
        yield part, batch["ids"][first:last]
        first = last


def quantities_of(part: Document) -> Iterable[tuple[int, ...]]:
    """What each event of a part used, by UNITS."""
    nothing = [0] * len(part["latencies"])
    return zip(*(part["quantities"].get(str(place), nothing) for place in range(len(UNITS))), strict=True)


def events_of(part: Document, ids: Sequence[str]) -> Iterator[RecordedEvent]:
    """The events of a part."""
    series, nothing = series_of(part), [""] * len(ids)
    columns = zip(
        ids,
        part["starts"],
        part["latencies"],
        part["first_tokens"],
        part["session_ids"] or nothing,
        part["request_ids"] or nothing,
        quantities_of(part),
        strict=True,
    )
    for event_id, start, latency, first_token, session_id, request_id, quantities in columns:
        yield RecordedEvent(
            event_id,
            series,
            end_of(event_id),
            start,
            latency,
            first_token,
            session_id,
            request_id,
            quantities,
        )
