"""Points in time, as protobuf has them and as we do."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.kernel.errors import InvalidArgument


def moment(field: str, message: Timestamp) -> datetime:
    """A point in time. Raises InvalidArgument for `field` when it lies outside the years 1 to 9999, which protobuf can write down."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise InvalidArgument.field(field, "must be a time in the years 1 to 9999") from None
