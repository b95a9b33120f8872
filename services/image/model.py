"""Images, the calls that make them, and what is still to be filed in the object store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum

from services.capabilities.generations.model import State
from services.kernel.failures import Failure

_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
THUMBNAIL_PIXELS = 256
ANONYMOUS = "anonymous"


class Format(Enum):
    """A format to download in; the value is its content type."""

    PNG = "image/png"
    JPEG = "image/jpeg"
    WEBP = "image/webp"
    AVIF = "image/avif"


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """From `512x512`. Raises ValueError."""
        found = _SIZE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no size such as 512x512")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class ImageCall:
    """What a caller asks for, as it asks. `digest` is that of the body; empty texts, None and 0 stand for what the model has as its
    default."""

    request_id: str
    digest: bytes
    prompt: str
    negative_prompt: str = ""
    size: str = ""
    style: str = ""
    model: str = ""
    seed: int | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made, with all defaults filled in. `seed` is that of the first image, the next ones have the next numbers; None for a
    model that takes none."""

    prompt: str
    negative_prompt: str
    size: Size
    style: str
    model: str
    provider: str
    seed: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Generation:
    """One call that makes images. `image_ids` are chosen when it begins, so that whatever it leaves in the object store can be found.

    `user_id` is empty for anonymous callers; `caller` is the claim's, `anonymous` for them.
    """

    generation_id: str
    image_ids: tuple[str, ...]
    user_id: str
    api_key_id: str
    request_id: str
    order: Order
    state: State
    create_time: datetime
    end_time: datetime | None = None
    failure: Failure | None = None

    @property
    def caller(self) -> str:
        """Whose request_id it is."""
        return self.user_id or ANONYMOUS


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is stored. `sha256` is that of the original, in hexadecimal digits; `index` its place among those of its call."""

    image_id: str
    generation_id: str
    user_id: str
    api_key_id: str
    request_id: str
    prompt: str
    negative_prompt: str
    size: str
    style: str
    model: str
    provider: str
    seed: int | None
    index: int
    width: int
    height: int
    sha256: str
    size_bytes: int
    revised_prompt: str
    processing_time_ms: int
    create_time: datetime

    @property
    def day(self) -> date:
        """The UTC day whose folders it is in."""
        return self.create_time.astimezone(UTC).date()


class Change(Enum):
    """What is still to be done for an image in the object store; the values are those of the table."""

    ADD = "add"
    """It is in the index: its record and its line are to be written."""
    REMOVE = "remove"
    """It was in the index, and all of it is to go."""
    DISCARD = "discard"
    """It never was in the index, as far as the index knows: what is there of it is to go, unless it has a record."""


@dataclass(frozen=True, slots=True)
class Filing:
    """A change of an image's objects that is due.

    Filings of one `group` are done by one process at a time: those of a person's day, `{user_id}/{yyyy-mm-dd}`, share a history file; every
    image of anonymous callers, or of a generation that failed, is a group by itself: `/{image_id}`. `revision` grows when another change
    takes its place. `image` is there for those to add. `again` says how often it is to be repeated later: whoever was paused may still
    write.
    """

    image_id: str
    group: str
    user_id: str
    day: date
    change: Change
    revision: int
    attempts: int = 0
    again: int = 0
    image: Image | None = None


def group_of(image_id: str, user_id: str, day: date) -> str:
    """The group of an image's filings."""
    return f"{user_id}/{day.isoformat()}" if user_id else f"/{image_id}"
