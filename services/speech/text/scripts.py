"""Scripts of plain texts, and segments for those who are asked part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.kernel.errors import InvalidArgument
from services.speech.model import Script, Segment
from services.speech.text.cutting import parts_of

_SECOND_PART = 300


def script_of(text: str, longest: int, language: str = "", *, field: str = "text") -> Script:
    """A plain text, cut into segments of at most `longest` code points. Raises InvalidArgument for `field` when it is white space alone.

    A segment is a sentence, or the best part of one that is too long. It has something to speak, unless what is silent is longer than
    that, or the whole text is silent. `language` is a BCP 47 tag; some abbreviations and ordinals are known only by it.
    """
    plain = text.strip()
    if not plain:
        raise InvalidArgument.field(field, "is white space alone; there is nothing to speak")
    parts = parts_of(plain, longest, language)
    return Script(plain, tuple(Segment(plain[begin:end], begin) for begin, end in parts))


def grouped(segments: Sequence[Segment], longest: int) -> list[Segment]:
    """The segments of a plain text as parts for somebody who is asked for each: the first one alone, so that something is heard soon, and
    the following together, at most 300 code points, then twice that and so on up to `longest`. A pause stays behind the segment that
    has it; segments of SSML stay alone."""
    parts: list[Segment] = []
    limit = 0
    for segment in segments:
        last = parts[-1] if parts else None
        if (
            last is not None
            and not (last.pause or last.ssml or segment.ssml)
            and len(last.text) + len(segment.text) <= limit
        ):
            parts[-1] = replace(last, text=last.text + segment.text, pause=segment.pause)
            continue
        if any(part.text for part in parts):
            limit = min(longest, 2 * limit or _SECOND_PART)
        parts.append(segment)
    return parts
