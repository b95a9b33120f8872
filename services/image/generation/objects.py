"""The objects of an image: their keys, which are part of the contract, and what the JSON among them says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from services.capabilities.generations.model import State
from services.image.model import Generation, Image

JSON = "application/json"
JSON_LINES = "application/x-ndjson"
PNG = "image/png"


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the objects of an image are. `day` is the UTC day on which it was made."""

    image_id: str
    day: date

    @property
    def folder(self) -> str:
        """The tree of the image, ending with a slash."""
        return f"requests/{self.day:%Y/%m/%d}/{self.image_id}/"

    @property
    def input(self) -> str:
        """What was asked for."""
        return f"{self.folder}input.json"

    @property
    def record(self) -> str:
        """What was made. It is there for images of the index alone, so that the index can be made anew of these."""
        return f"{self.folder}record.json"

    @property
    def original(self) -> str:
        """The image itself."""
        return f"{self.folder}image/original.png"

    @property
    def thumbnail(self) -> str:
        """A small version, which can be made of the original at any time."""
        return f"derived/{self.image_id}/thumbnail.png"

    @property
    def all(self) -> tuple[str, ...]:
        """All of them, the record first: what has none is nobody's image any more."""
        return self.record, self.input, self.original, self.thumbnail


def keys_of(image: Image) -> Keys:
    """Where the objects of an image of the index are."""
    return Keys(image.image_id, image.day)


def history_key(user_id: str, day: date) -> str:
    """The history of a person's day: a line of JSON per image."""
    return f"{user_folder(user_id)}image/history/{day:%Y/%m/%d}.jsonl"


def user_folder(user_id: str) -> str:
    """What is kept under a person's name, ending with a slash."""
    return f"users/{user_id}/"


def input_json(generation: Generation, image_id: str, index: int) -> bytes:
    """What was asked for."""
    order = generation.order
    seed = None if order.seed is None else order.seed + index
    return _document(
        {
            "id": image_id,
            "generation_id": generation.generation_id,
            "request_id": generation.request_id or None,
            "user_id": generation.user_id or None,
            "prompt": order.prompt,
            "negative_prompt": order.negative_prompt or None,
            "size": str(order.size),
            "style": order.style or None,
            "model": order.model,
            "provider": order.provider,
            "seed": seed,
            "index": index,
            "count": order.count,
            "created_at": _moment(generation.create_time),
        }
    )


def record_json(image: Image) -> bytes:
    """What was made: all that the index knows."""
    keys = keys_of(image)
    return _document(
        {
            "id": image.image_id,
            "generation_id": image.generation_id,
            "request_id": image.request_id or None,
            "user_id": image.user_id or None,
            "api_key_id": image.api_key_id or None,
            "prompt": image.prompt,
            "negative_prompt": image.negative_prompt or None,
            "size": image.size,
            "style": image.style or None,
            "status": State.COMPLETED.value,
            "created_at": _moment(image.create_time),
            "s3_key": keys.original,
            "input_key": keys.input,
            "sha256": image.sha256,
            "size_bytes": image.size_bytes,
            "metadata": {
                "processing_time_ms": image.processing_time_ms,
                "provider": image.provider,
                "model": image.model,
                "seed": image.seed,
                "index": image.index,
                "width": image.width,
                "height": image.height,
                "revised_prompt": image.revised_prompt or None,
            },
        }
    )


def history_line(image: Image) -> bytes:
    """The image in its owner's history, with the end of its line."""
    keys = keys_of(image)
    line = {
        "id": image.image_id,
        "prompt": image.prompt,
        "size": image.size,
        "style": image.style or None,
        "status": State.COMPLETED.value,
        "model": image.model,
        "provider": image.provider,
        "created_at": _moment(image.create_time),
        "s3_key": keys.original,
        "record_key": keys.record,
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def image_of_record(data: bytes) -> Image:
    """An image from its record. Raises ValueError when the bytes are no such thing."""
    try:
        found = json.loads(data)
        metadata = found["metadata"]
        created = datetime.fromisoformat(found["created_at"])
        return Image(
            image_id=_text(found, "id"),
            generation_id=_text(found, "generation_id"),
            user_id=_text(found, "user_id"),
            api_key_id=_text(found, "api_key_id"),
            request_id=_text(found, "request_id"),
            prompt=_text(found, "prompt"),
            negative_prompt=_text(found, "negative_prompt"),
            size=_text(found, "size"),
            style=_text(found, "style"),
            model=_text(metadata, "model"),
            provider=_text(metadata, "provider"),
            seed=None if metadata["seed"] is None else int(metadata["seed"]),
            index=int(metadata["index"]),
            width=int(metadata["width"]),
            height=int(metadata["height"]),
            sha256=bytes.fromhex(found["sha256"]).hex(),
            size_bytes=int(found["size_bytes"]),
            revised_prompt=_text(metadata, "revised_prompt"),
            processing_time_ms=int(metadata["processing_time_ms"]),
            create_time=created.astimezone(UTC),
        )
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"no record of an image: {error!r}") from None


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found[name]
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"no record of an image: {name} is no text")
    return value


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _document(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=2).encode() + b"\n"
