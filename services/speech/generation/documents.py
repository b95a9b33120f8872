"""The JSON among the objects of a conversion: what was asked for, and the record that tells everything of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.speech.generation.objects import AUDIO_URL, keys_of
from services.speech.generation.recording import Recording
from services.speech.model import Conversion, Generation, Piece, Script, Word

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Timeline:
    """When what of an audio is heard: its pieces and words, in samples at `sample_rate`."""

    sample_rate: int
    gives_words: bool
    pieces: Sequence[Piece]
    words: Sequence[Word]


def input_json(generation: Generation, script: Script) -> bytes:
    """What was asked for."""
    order = generation.order
    return _document(
        {
            "id": generation.generation_id,
            "request_id": generation.request_id or None,
            "user_id": generation.user_id or None,
            "operation": order.operation,
            "text": script.text,
            "ssml": script.ssml or None,
            "model": order.model,
            "provider": order.provider,
            "voice": order.voice,
            "language": order.language,
            "format": order.format.value,
            "speaking_rate": order.rate,
            "pitch": order.pitch,
            "created_at": _moment(generation.create_time),
        }
    )


def record_json(conversion: Conversion, recording: Recording) -> bytes:
    """What was made: all that the table knows, and the timeline, so that a stream can be sent again in the same pieces."""
    keys = keys_of(conversion)
    return _document(
        {
            "id": conversion.conversion_id,
            "request_id": conversion.request_id or None,
            "user_id": conversion.user_id or None,
            "api_key_id": conversion.api_key_id or None,
            "text": conversion.text,
            "ssml": conversion.ssml or None,
            "audio_url": AUDIO_URL.format(conversion_id=conversion.conversion_id),
            "model": conversion.model,
            "voice": conversion.voice,
            "language": conversion.language,
            "format": conversion.format.value,
            "content_type": conversion.format.content_type,
            "sample_rate": conversion.sample_rate,
            "speaking_rate": conversion.rate,
            "pitch": conversion.pitch,
            "characters": conversion.characters,
            "duration_seconds": conversion.duration_seconds,
            "file_size_bytes": conversion.file_size_bytes,
            "sha256": conversion.sha256,
            "s3_key": keys.audio,
            "s3_bucket": conversion.s3_bucket or None,
            "created_at": _moment(conversion.create_time),
            "metadata": {
                "request_id": conversion.request_id or None,
                "provider": conversion.provider,
                "latency_ms": conversion.latency_ms,
                "status_code": 200,
                "cost_usd": conversion.cost_usd,
                "record_key": keys.record,
                "input_key": keys.input,
            },
            "timeline": {
                "gives_words": recording.gives_words,
                # Flat, since there may be a hundred thousand.
                "bytes": [piece.data_bytes for piece in recording.pieces],
                "samples": [piece.samples for piece in recording.pieces],
                "words": [(word.text, word.offset, word.start, word.end) for word in recording.words],
            },
        }
    )


class _Timeline(msgspec.Struct):
    gives_words: bool
    bytes: list[int]
    samples: list[int]
    words: list[tuple[str, int, int, int]]


class _Record(msgspec.Struct):
    sample_rate: int
    timeline: _Timeline


_decode = msgspec.json.Decoder(_Record).decode


def timeline_of(record: bytes) -> Timeline:
    """The timeline of a record. Raises ValueError when the bytes are none."""
    try:
        found = _decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("no record of a conversion") from error
    return Timeline(
        found.sample_rate,
        found.timeline.gives_words,
        [*map(Piece, found.timeline.bytes, found.timeline.samples)],
        [Word(*word) for word in found.timeline.words],
    )


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _document(content: Mapping[str, Any]) -> bytes:
    """Without spaces: of two hours of speech it has a megabyte of times."""
    return msgspec.json.encode(content) + b"\n"
