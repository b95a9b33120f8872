"""Rows of Image's tables as values, and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.capabilities.generations.model import State
from services.capabilities.metering import outbox
from services.capabilities.metering.model import Unit, UsageEvent, UsageStatus
from services.image.generation.usage import usage_event
from services.image.model import Change, Filing, Generation, Image, Order, Size
from services.image.stores.statements import IMAGE_COLUMNS
from services.kernel.failures import Failure

_MICROSECOND = timedelta(microseconds=1)
_GENERATION_COLUMNS = 15
_FILING_COLUMNS = 8
_SHA256 = IMAGE_COLUMNS.split(", ").index("sha256")


def generation(row: Sequence[Any]) -> Generation:
    """A row of GENERATION_COLUMNS."""
    return Generation(
        generation_id=row[0],
        image_ids=tuple(row[1]),
        user_id=row[2],
        api_key_id=row[3],
        request_id=row[4],
        order=Order(
            prompt="",
            negative_prompt="",
            size=Size.parse(row[5]),
            style=row[6],
            model=row[7],
            provider=row[8],
            seed=row[9],
            count=row[10],
        ),
        state=State(row[11]),
        failure=None if row[12] is None else Failure(**row[12]),
        create_time=row[13],
        end_time=row[14],
    )


def generation_values(made: Generation) -> dict[str, Any]:
    """What the columns keep from the beginning."""
    order = made.order
    return {
        "generation_id": made.generation_id,
        "image_ids": list(made.image_ids),
        "user_id": made.user_id,
        "api_key_id": made.api_key_id,
        "caller": made.caller,
        "request_id": made.request_id or None,
        "size": str(order.size),
        "style": order.style,
        "model": order.model,
        "provider": order.provider,
        "seed": order.seed,
        "count": order.count,
        "created_at": made.create_time,
    }


def image(row: Sequence[Any]) -> Image:
    """A row of IMAGE_READ; the fields stand in the order of the columns."""
    values = list(row)
    values[_SHA256] = bytes(values[_SHA256]).hex()
    return Image(*values)


def image_values(made: Image) -> dict[str, Any]:
    """The same back again."""
    values = {name: getattr(made, name, None) for name in IMAGE_COLUMNS.split(", ")}
    return values | {"sha256": bytes.fromhex(made.sha256), "created_at": made.create_time}


def filing(row: Sequence[Any]) -> Filing:
    """A row of `filing_statements.TAKEN`."""
    image_id, group, user_id, day, change, revision, attempts, again = row[:_FILING_COLUMNS]
    added = None if row[_FILING_COLUMNS] is None else image(row[_FILING_COLUMNS:])
    return Filing(image_id, group, user_id, day, Change(change), revision, attempts, again, added)


def failure_to_json(failure: Failure) -> dict[str, Any]:
    """What the column `failure` keeps."""
    return {
        "code": failure.code,
        "reason": failure.reason,
        "message": failure.message,
        "metadata": dict(failure.metadata),
        "retry_after": failure.retry_after,
    }


def event_values(event: UsageEvent | None) -> dict[str, Any]:
    """What the end of a generation keeps of its usage event, for itself and in the outbox."""
    if event is None:
        names = ("event_id", "event_status", "event_reason", "latency", "images", "event_user_id", "event")
        return dict.fromkeys(names)
    return {
        "event_id": event.event_id,
        "event_status": event.status.value,
        "event_reason": event.error_reason,
        "latency": event.latency // _MICROSECOND,
        "images": event.usage.quantities.get(Unit.IMAGES, 0),
        "event_user_id": event.user_id,
        "event": outbox.payload(event),
    }


def event_again(row: Sequence[Any]) -> UsageEvent:
    """A row of `book_statements.TOLD`: the event as it was, but for what was removed with its person since."""
    made = generation(row[:_GENERATION_COLUMNS])
    event_id, status, reason, latency, images = row[_GENERATION_COLUMNS:]
    end = made.create_time + latency * _MICROSECOND
    return usage_event(made, UsageStatus(status), reason, images, event_id, end)
