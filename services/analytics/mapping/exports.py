"""Events as lines of a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict

from services.analytics.mapping.events import event_to_proto
from services.analytics.mapping.names import name_of
from services.analytics.model.events import UNITS
from services.analytics.model.figures import Dimension
from services.analytics.usecases.export_events import PricedEvent

_COLUMNS = (
    "event_id",
    "end_time",
    "service_type",
    "operation",
    "status",
    "error_reason",
    "refused",
    "user_id",
    "api_key_id",
    "session_id",
    "request_id",
    "project",
    "model",
    "provider",
    "variant",
    "start_time",
    "latency_microseconds",
    "first_token_microseconds",
    "provenance",
    *(unit.name.lower() for unit in UNITS),
    "cost_nano_usd",
)
# What makes a spreadsheet take a text for a formula (OWASP, CSV Injection), the wide forms of East Asian keyboards too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_header() -> bytes:
    """The first line."""
    return _csv([_COLUMNS])


def csv_lines(events: Iterable[PricedEvent]) -> bytes:
    """A line an event."""
    return _csv(map(_row, events))


def json_lines(events: Iterable[PricedEvent]) -> bytes:
    """A JSON object an event: UsageEvent's JSON with its cost."""
    return b"".join(_json(one) for one in events)


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _row(one: PricedEvent) -> tuple[Any, ...]:
    event, series = one.event, one.event.series
    return (
        event.event_id,
        _iso(event.end_time),
        name_of(Dimension.SERVICE_TYPE, series.service_type),
        _cell(series.operation),
        name_of(Dimension.STATUS, series.status),
        _cell(series.error_reason),
        "true" if series.refused else "false",
        _cell(series.user_id),
        _cell(series.api_key_id),
        _cell(event.session_id),
        _cell(event.request_id),
        _cell(series.project),
        _cell(series.model),
        _cell(series.provider),
        _cell(series.variant),
        _iso(event.start_time),
        event.latency,
        event.first_token if event.first_token >= 0 else "",
        name_of(Dimension.PROVENANCE, series.provenance),
        *(amount or "" for amount in event.quantities),
        "" if one.cost is None else one.cost,
    )


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _iso(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="milliseconds")


def _json(one: PricedEvent) -> bytes:
    found = MessageToDict(event_to_proto(one.event))
    if one.cost is not None:
        found["costNanoUsd"] = str(one.cost)
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
