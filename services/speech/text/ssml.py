"""Scripts of SSML."""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from xml.parsers import expat

from services.kernel.errors import InvalidArgument
from services.speech.model import Script, Segment
from services.speech.text.characters import is_spoken
from services.speech.text.cutting import parts_of
from services.speech.text.documents import document_of
from services.speech.text.elements import LANGUAGE, Manner
from services.speech.text.reading import Flow, read

_LONGEST_TAG = 35


def script_of_ssml(ssml: str, longest: int, language: str = "") -> Script:
    """The script of an SSML: its text is what a reader would read, with single spaces, and a segment ends at a sentence, at the edges
    of `p` and `s` and at a break, which is the segment's pause. A break before all text is a first segment of its own, with an empty text.

    The elements are `speak`, `p`, `s`, `break`, `prosody`, `emphasis`, `sub` and `say-as`. `xml:lang` may stand in `speak`: `language_of`
    tells it. Raises InvalidArgument for `ssml`, with the line and the column, for what is not taken: other elements, attributes and values;
    document types, entities but the five of XML, processing instructions, references to anything outside; more than 16 levels, 5,000
    elements, 8 attributes of an element, 10 seconds of a break or 600 of all; `sub` and `say-as` with a text longer than `longest`;
    no text at all.
    """
    flow = read(ssml, longest)
    if not flow.text:
        raise InvalidArgument.field("ssml", "has no text; there is nothing to speak")
    parts = parts_of(flow.text, longest, language, flow.borders, flow.whole)
    pauses = _pauses_behind(flow, parts)
    segments = [] if -1 not in pauses else [Segment("", 0, pauses[-1])]
    starts = [start for start, _ in flow.stretches]
    for index, (begin, end) in enumerate(parts):
        text = flow.text[begin:end]
        document, runs = document_of(text, _stretches(flow.stretches, starts, begin, end))
        segments.append(Segment(text, begin, pauses.get(index, 0.0), document, runs))
    return Script(flow.text, tuple(segments), ssml)


def language_of(ssml: str) -> str:
    """What `speak` says that it is written in; empty when it says nothing, or this is no SSML, which `script_of_ssml` finds out."""
    found = ""

    def stop(*_: object) -> None:
        raise _Enough

    def root(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal found
        tag = attributes.get("xml:lang", "")
        # What is no tag is refused by whoever reads the whole.
        found = tag if len(tag) <= _LONGEST_TAG and LANGUAGE.fullmatch(tag) else ""
        raise _Enough

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = stop
    parser.StartElementHandler = root
    with contextlib.suppress(_Enough, expat.ExpatError, ValueError):
        # As a text: what it says of its encoding is not true of it any more.
        parser.Parse(ssml, True)
    return found


class _Enough(Exception):
    """The root has been seen."""


def _pauses_behind(flow: Flow, parts: Sequence[tuple[int, int]]) -> dict[int, float]:
    """How long it is silent behind which part; -1 is before all. What is silent has joined its neighbour across a break: then that is
    behind whatever is spoken before it."""
    pauses: dict[int, float] = defaultdict(float)
    begins = [begin for begin, _ in parts]
    for place, pause in flow.pauses:
        index = bisect_left(begins, place) - 1
        if index >= 0 and place < parts[index][1] and not is_spoken(flow.text[begins[index] : place]):
            index -= 1
        pauses[index] += pause
    return dict(pauses)


def _stretches(
    stretches: Sequence[tuple[int, Manner]], starts: Sequence[int], begin: int, end: int
) -> Iterator[tuple[int, int, Manner]]:
    """Those of a part, by their places in it."""
    index = bisect_right(starts, begin) - 1
    while index < len(stretches) and starts[index] < end:
        until = starts[index + 1] if index + 1 < len(starts) else end
        yield max(starts[index], begin) - begin, min(until, end) - begin, stretches[index][1]
        index += 1
