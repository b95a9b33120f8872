"""Rows of Speech's tables as values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from psycopg.types.json import Json

from services.capabilities.generations.model import State
from services.capabilities.metering import outbox
from services.capabilities.metering.model import UsageEvent, UsageStatus
from services.kernel.failures import Failure
from services.speech.generation.objects import AUDIO_URL, keys_of
from services.speech.generation.usage import usage_event
from services.speech.model import ANONYMOUS, Conversion, Format, Generation, Order, Used

_MICROSECOND = timedelta(microseconds=1)
_GENERATION_COLUMNS = 17
_STORED = 200
"""The status of HTTP for what is stored."""


def generation(row: Sequence[Any]) -> Generation:
    """A row of GENERATION_COLUMNS."""
    return Generation(
        generation_id=row[0],
        user_id=row[1],
        api_key_id=row[2],
        request_id=row[3],
        order=Order(
            operation=row[4],
            characters=row[5],
            model=row[6],
            provider=row[7],
            voice=row[8],
            language=row[9],
            format=Format(row[10]),
            rate=row[11],
            pitch=row[12],
        ),
        state=State(row[13]),
        failure=None if row[14] is None else Failure(**row[14]),
        create_time=row[15],
        end_time=row[16],
    )


def generation_values(made: Generation) -> dict[str, Any]:
    """What the columns keep from the beginning."""
    order = made.order
    return {
        "generation_id": made.generation_id,
        "user_id": made.user_id,
        "api_key_id": made.api_key_id,
        "caller": made.caller,
        "request_id": made.request_id or None,
        "operation": order.operation,
        "asked_characters": order.characters,
        "model": order.model,
        "provider": order.provider,
        "voice": order.voice,
        "language": order.language,
        "format": order.format.value,
        "rate": order.rate,
        "pitch": order.pitch,
        "created_at": made.create_time,
    }


def conversion(row: Sequence[Any]) -> Conversion:
    """A row of CONVERSION_READ, also one that another program has written."""
    metadata = row[18] if isinstance(row[18], dict) else {}
    return Conversion(
        conversion_id=row[0],
        user_id="" if row[1] == ANONYMOUS else row[1],
        api_key_id=row[2],
        request_id=_text(metadata, "request_id"),
        text=row[3],
        ssml=row[4],
        model=row[5],
        provider=_text(metadata, "provider"),
        voice=row[6],
        language=row[7],
        format=Format(row[8]),
        sample_rate=row[9],
        rate=row[10],
        pitch=row[11],
        characters=row[12],
        duration_seconds=float(row[13]),
        file_size_bytes=row[14],
        sha256=bytes(row[15]).hex(),
        s3_bucket=row[16],
        latency_ms=int(_number(metadata, "latency_ms") or 0),
        create_time=row[17],
        cost_usd=_number(metadata, "cost_usd"),
    )


def conversion_values(made: Conversion) -> dict[str, Any]:
    """The same back again."""
    keys = keys_of(made)
    return {
        "conversion_id": made.conversion_id,
        "user_id": column_user_id(made.user_id),
        "api_key_id": made.api_key_id,
        "text": made.text,
        "ssml": made.ssml,
        "audio_url": AUDIO_URL.format(conversion_id=made.conversion_id),
        "model": made.model,
        "voice": made.voice,
        "language": made.language,
        "format": made.format.value,
        "sample_rate": made.sample_rate,
        "rate": made.rate,
        "pitch": made.pitch,
        "characters": made.characters,
        "duration_seconds": made.duration_seconds,
        "file_size_bytes": made.file_size_bytes,
        "sha256": bytes.fromhex(made.sha256),
        "s3_key": keys.audio,
        "s3_bucket": made.s3_bucket or None,
        "created_at": made.create_time,
        "metadata": Json(
            {
                "request_id": made.request_id or None,
                "provider": made.provider,
                "latency_ms": made.latency_ms,
                "status_code": _STORED,
                "cost_usd": made.cost_usd,
                "record_key": keys.record,
                "input_key": keys.input,
            }
        ),
    }


def column_user_id(user_id: str) -> str:
    """What the column `user_id` of conversions says."""
    return user_id or ANONYMOUS


def _text(metadata: Mapping[str, object], name: str) -> str:
    value = metadata.get(name)
    return value if isinstance(value, str) else ""


def _number(metadata: Mapping[str, object], name: str) -> float | None:
    value = metadata.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return value


def failure_to_json(failure: Failure) -> dict[str, Any]:
    """What the column `failure` keeps."""
    return {
        "code": failure.code,
        "reason": failure.reason,
        "message": failure.message,
        "metadata": dict(failure.metadata),
        "retry_after": failure.retry_after,
    }


def event_values(used: Used, event: UsageEvent | None) -> dict[str, Any]:
    """What the end of a generation keeps of what it has used, for itself and in the outbox; nothing where nothing is metered."""
    if event is None:
        names = ("event_id", "event_status", "event_reason", "latency", "first_audio", "characters")
        return dict.fromkeys((*names, "audio_milliseconds", "event_user_id", "event"))
    first_audio = event.time_to_first_token
    return {
        "event_id": event.event_id,
        "event_status": event.status.value,
        "event_reason": event.error_reason,
        "latency": event.latency // _MICROSECOND,
        "first_audio": None if first_audio is None else first_audio // _MICROSECOND,
        "characters": used.characters,
        "audio_milliseconds": used.audio_milliseconds,
        "event_user_id": event.user_id,
        "event": outbox.payload(event),
    }


def event_again(row: Sequence[Any]) -> UsageEvent:
    """A row of `book_statements.TOLD`: the event as it was, but for what was removed with its person since."""
    made = generation(row[:_GENERATION_COLUMNS])
    event_id, status, reason, latency, first_audio, characters, audio_milliseconds = row[_GENERATION_COLUMNS:]
    return usage_event(
        made,
        UsageStatus(status),
        reason,
        Used(characters, audio_milliseconds),
        None if first_audio is None else first_audio * _MICROSECOND,
        event_id,
        made.create_time + latency * _MICROSECOND,
    )
