"""Documents of one segment each: SSML that is written here, and never a caller's bytes.

It is for espeak-ng, the one engine that takes SSML, and says things in the way in which that reads them (espeak-ng 1.52, measured):
a pitch with a sign is a number of its own steps, whatever its unit; decibels are taken for percents; an alias in `sub` loses its
place, so that it stands here in the place of what was written; and other kinds of `say-as` than these are read as plain text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from services.speech.model import Segment
from services.speech.text.elements import Manner

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ESCAPE = re.compile("&[a-z]+;")
_BEGUN_ESCAPE = re.compile("&[a-z]*$")
_ROOT, _ROOT_END = "<speak>", "</speak>"
_STEPS_PER_SEMITONE = 5.4
# Twice as loud is as much as its samples hold.
_LOUDEST = 6.0
_KINDS = {
    "characters": "characters",
    "spell-out": "characters",
    "digits": "tts:digits",
    "telephone": "telephone",
}


def document_of(
    text: str, stretches: Iterable[tuple[int, int, Manner]]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The document of a text, and its runs as Segment has them. The stretches are the text, each with its manner."""
    parts = [_ROOT]
    runs: list[tuple[int, int]] = []
    at = len(_ROOT)
    for begin, end, manner in stretches:
        opening, closing = tags_of(manner)
        at += len(opening)
        runs.append((at, begin))
        if manner.alias:
            # Its first letter stands for all that was written, and nothing is left for the others.
            runs.append((at + len(manner.alias[0].translate(_ESCAPES)), end))
        spoken = (manner.alias or text[begin:end]).translate(_ESCAPES)
        parts += (opening, spoken, closing)
        at += len(spoken) + len(closing)
    parts.append(_ROOT_END)
    return "".join(parts), tuple(runs)


def tags_of(manner: Manner) -> tuple[str, str]:
    """What stands before and behind a text of this manner."""
    opening, closing = "", ""
    prosody = _prosody_of(manner)
    if prosody:
        opening, closing = f"<prosody{prosody}>", "</prosody>"
    if manner.emphasis not in ("", "none"):
        opening, closing = f'{opening}<emphasis level="{manner.emphasis}">', f"</emphasis>{closing}"
    if kind := _KINDS.get(manner.interpret_as):
        opening, closing = f'{opening}<say-as interpret-as="{kind}">', f"</say-as>{closing}"
    return opening, closing


def _prosody_of(manner: Manner) -> str:
    attributes = ""
    if manner.rate != 1:
        attributes += f' rate="{manner.rate:.0%}"'
    if manner.pitch:
        attributes += f' pitch="{manner.pitch * _STEPS_PER_SEMITONE:+.0f}Hz"'
    if manner.volume:
        attributes += f' volume="{10 ** (min(_LOUDEST, manner.volume) / 20):.0%}"'
    return attributes


def position_in_text(segment: Segment, index: int) -> int:
    """Where in the segment's text that stands which is at this place of its document, both from 0. A place in the markup is that of the text
    behind it; an escaped character counts as one. All of an alias but its first letter is behind the text that it is spoken for. In
    a plain segment places are the same."""
    if not segment.ssml:
        return max(0, min(index, len(segment.text)))
    run = bisect_right(segment.runs, index, key=lambda each: each[0]) - 1
    if run < 0:
        return 0
    begin, position = segment.runs[run]
    before = _BEGUN_ESCAPE.sub("", _ESCAPE.sub("x", segment.ssml[begin:index]))
    last = segment.runs[run + 1][1] if run + 1 < len(segment.runs) else len(segment.text)
    return min(position + len(before), last)
