"""When words are spoken, by the marks that espeak-ng leaves in its audio."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from services.speech.model import Segment
from services.speech.text import position_in_text

_PART = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something is spoken from this sample on: what is at `start` of the text or document, `length` characters."""

    start: int
    length: int
    sample: int


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word from one place of a segment's text to another, and from one sample to another."""

    start: int
    end: int
    since: int
    until: int


def timed_words(
    segment: Segment, marks: Sequence[Mark], ends: Sequence[int], samples: int
) -> list[TimedWord]:
    """The segment's words in their order; none overlap, in the text or in time. `ends` are the samples where clauses end: a word lasts until
    the next one, or until its clause ends.

    A number leaves several marks, at places that overlap or meet: it is one word. What follows a word and has no mark of its own, like
    the second half of "e-mail", or of "of the", which English voices speak in one, belongs to it; punctuation at its end does not.
    """
    text = segment.text
    heads: list[tuple[int, int, int]] = []
    for mark in marks:
        start, end = _trimmed(text, *_in_text(segment, mark))
        if start >= end or (heads and start < heads[-1][1]):
            continue
        if heads and start == heads[-1][1] and text[start].isdigit() and text[heads[-1][0]].isdigit():
            heads[-1] = heads[-1][0], end, heads[-1][2]
        else:
            heads.append((start, end, mark.sample))
    words: list[TimedWord] = []
    for place, (start, _, since) in enumerate(heads):
        following = heads[place + 1] if place + 1 < len(heads) else (len(text), 0, samples)
        clause = bisect_right(ends, since)
        until = min(following[2], ends[clause] if clause < len(ends) else samples)
        words.append(TimedWord(start, _reach(text, start, following[0]), since, until))
    return words


def _in_text(segment: Segment, mark: Mark) -> tuple[int, int]:
    if not segment.ssml:
        return mark.start, min(mark.start + mark.length, len(segment.text))
    first = position_in_text(segment, mark.start)
    last = position_in_text(segment, mark.start + max(mark.length, 1) - 1)
    return first, min(last + 1, len(segment.text))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    found = text[start:end]
    return start + len(found) - len(found.lstrip()), start + len(found.rstrip())


def _reach(text: str, start: int, limit: int) -> int:
    """Where the word ends that begins there: before punctuation, and what else can't be spoken, before the next word; but it has a first part,
    whatever that is."""
    end = start
    for part in _PART.finditer(text, start, limit):
        if end == start or any(map(str.isalnum, part[0])):
            end = part.end()
    last = end
    while last > start and unicodedata.category(text[last - 1]).startswith("P"):
        last -= 1
    return last if last > start else end
