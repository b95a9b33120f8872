"""Conversions, the calls that make them, and what is spoken in which manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum

from services.capabilities.generations.model import State
from services.kernel.failures import Failure

ANONYMOUS = "anonymous"
"""The `user_id` of a row that has no person."""

DEFAULT_LANGUAGE = "en"


class Format(Enum):
    """A format of audio; the value is the ending of its files."""

    WAV = "wav"
    MP3 = "mp3"
    OGG_OPUS = "ogg"
    FLAC = "flac"

    @property
    def content_type(self) -> str:
        """Of its files."""
        return _CONTENT_TYPES[self]


_CONTENT_TYPES = {
    Format.WAV: "audio/wav",
    Format.MP3: "audio/mpeg",
    Format.OGG_OPUS: "audio/ogg",
    Format.FLAC: "audio/flac",
}


class Gender(Enum):
    """What a voice sounds like; numbers as in antiphon.speech.v1.VoiceGender."""

    UNKNOWN = 0
    MALE = 1
    FEMALE = 2
    NEUTRAL = 3


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody who can speak. `language` is a BCP 47 tag of at most 10 characters, empty for one that speaks many; `upstream` is what the
    provider calls it, `sample_rate` in Hz."""

    name: str
    display_name: str
    language: str
    sample_rate: int
    upstream: str
    gender: Gender = Gender.UNKNOWN


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a text that is spoken in one go: a sentence, or a part of a long one, with the white space behind it. All segments of a text
    together are the text.

    `offset` is where it begins in the text, in code points. `pause` are seconds of silence behind it, beside the voice's own; the
    first segment of an SSML that begins with a break has nothing else, its text is empty. `ssml` is a whole document of its own for
    engines that take one, empty for a plain segment; `runs` are then the places where stretches of its text begin, in the document
    and in the segment.
    """

    text: str
    offset: int
    pause: float = 0.0
    ssml: str = ""
    runs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """What is to be spoken: the plain text, its segments in their order, and the SSML that it was read from, if it was."""

    text: str
    segments: tuple[Segment, ...]
    ssml: str = ""

    @property
    def characters(self) -> int:
        """As they are metered."""
        return len(self.text)


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """What a caller asks for, as it asks. `digest` is that of the body; one of `text` and `ssml` is empty; empty texts stand for what the
    model has as its default."""

    operation: str
    request_id: str
    digest: bytes
    text: str
    ssml: str
    voice: str
    language: str
    model: str
    format: Format
    rate: float
    pitch: float


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made, with all defaults filled in. `rate` is a factor, `pitch` in semitones."""

    operation: str
    characters: int
    model: str
    provider: str
    voice: str
    language: str
    format: Format
    rate: float
    pitch: float


@dataclass(frozen=True, slots=True)
class Generation:
    """One call that makes a conversion, which has its id. `user_id` is empty for anonymous callers."""

    generation_id: str
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
class Used:
    """What a call has used: characters that were spoken, and milliseconds of audio."""

    characters: int = 0
    audio_milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class Conversion:
    """A conversion that is stored. `user_id` is empty for anonymous callers; `sha256` is that of the audio, in hexadecimal digits;
    `duration_seconds` is that of the decoded audio, to hundredths; `cost_usd` is what the provider has told itself."""

    conversion_id: str
    user_id: str
    api_key_id: str
    request_id: str
    text: str
    ssml: str
    model: str
    provider: str
    voice: str
    language: str
    format: Format
    sample_rate: int
    rate: float
    pitch: float
    characters: int
    duration_seconds: float
    file_size_bytes: int
    sha256: str
    s3_bucket: str
    latency_ms: int
    create_time: datetime
    cost_usd: float | None = None

    @property
    def day(self) -> date:
        """The UTC day whose folders it is in."""
        return self.create_time.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class Removal:
    """Objects that are due to go: those of a conversion that was deleted, or never was. `again` says how often that is to be repeated later:
    whoever was paused may still write."""

    conversion_id: str
    day: date
    again: int = 0


# -- audio while it is made. Times are in samples of its rate, so that sums are exact.


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the audio: 20 to 200 milliseconds, unless the whole is shorter."""

    data_bytes: int
    samples: int


@dataclass(frozen=True, slots=True)
class Word:
    """When a word is spoken: `start` and `end` in samples from the audio's beginning; `offset` in code points of the conversion's text."""

    text: str
    offset: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes that a file has in the place of those that were sent while its length was not known."""

    position: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What comes next of the audio: `data` is that of all its pieces together, `sample_rate` that of the decoded audio, the same in all
    batches. `characters` is how many of the text are spoken with it and before it."""

    sample_rate: int
    data: bytes = b""
    pieces: Sequence[Piece] = ()
    words: Sequence[Word] = ()
    characters: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """The last of the audio. `samples` is the whole as it is decoded, at `sample_rate`: the sum of its pieces."""

    sample_rate: int
    samples: int
    patches: Sequence[Patch] = ()
    cost_usd: float | None = field(default=None)
