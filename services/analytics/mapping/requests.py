"""What callers ask, as values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from antiphon.analytics.v1 import analytics_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.analytics.model.figures import Dimension, Filter, Value
from services.analytics.model.steps import Bucket, Span
from services.analytics.usecases.spans import span_of
from services.kernel.errors import InvalidArgument

_DIMENSIONS = {
    analytics_pb2.DIMENSION_SERVICE_TYPE: Dimension.SERVICE_TYPE,
    analytics_pb2.DIMENSION_OPERATION: Dimension.OPERATION,
    analytics_pb2.DIMENSION_MODEL: Dimension.MODEL,
    analytics_pb2.DIMENSION_PROVIDER: Dimension.PROVIDER,
    analytics_pb2.DIMENSION_PROJECT: Dimension.PROJECT,
    analytics_pb2.DIMENSION_STATUS: Dimension.STATUS,
    analytics_pb2.DIMENSION_ERROR_REASON: Dimension.ERROR_REASON,
    analytics_pb2.DIMENSION_USER: Dimension.USER,
    analytics_pb2.DIMENSION_API_KEY: Dimension.API_KEY,
    analytics_pb2.DIMENSION_VARIANT: Dimension.VARIANT,
    analytics_pb2.DIMENSION_PROVENANCE: Dimension.PROVENANCE,
}
_FILTERED = {
    "service_types": Dimension.SERVICE_TYPE,
    "operations": Dimension.OPERATION,
    "models": Dimension.MODEL,
    "providers": Dimension.PROVIDER,
    "projects": Dimension.PROJECT,
    "statuses": Dimension.STATUS,
    "error_reasons": Dimension.ERROR_REASON,
    "user_ids": Dimension.USER,
    "api_key_ids": Dimension.API_KEY,
    "variants": Dimension.VARIANT,
}
_FOLDED = (Dimension.USER, Dimension.API_KEY)


def moment(field: str, message: Any) -> datetime | None:
    """The time in a field of the message; None when it has none. Raises InvalidArgument for one that is no time."""
    name = field.rpartition(".")[2]
    if not message.HasField(name):
        return None
    timestamp: Timestamp = getattr(message, name)
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument.field(field, "is no time between the years 1 and 9999") from None


def span(message: analytics_pb2.TimeSpan, now: datetime) -> Span:
    """The span, with what it leaves out. Raises InvalidArgument."""
    return span_of(
        moment("span.start_time", message),
        moment("span.end_time", message),
        message.time_zone,
        Bucket(message.bucket),
        now,
    )


def dimensions(values: Any) -> tuple[Dimension, ...]:
    """What to group by."""
    return tuple(_DIMENSIONS[value] for value in values)


def filter_of(message: analytics_pb2.UsageFilter) -> Filter:
    """Which calls count. Raises InvalidArgument for a text that no call can have."""
    values: dict[Dimension, tuple[Value, ...]] = {}
    for field, dimension in _FILTERED.items():
        given = tuple(cast("Value", value) for value in getattr(message, field))
        if any(isinstance(value, str) and "\0" in value for value in given):
            raise InvalidArgument.field(f"filter.{field}", "must not have the character U+0000")
        if dimension in _FOLDED:
            given = tuple(str(value).lower() for value in given)
        if given:
            values[dimension] = given
    return Filter(values, message.refused if message.HasField("refused") else None)
