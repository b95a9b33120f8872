"""Texts cut into parts that are not too long: at sentences, and long sentences at the best place."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from services.speech.text.characters import is_audible, is_between_signs, is_spoken
from services.speech.text.sentences import sentence_ends

# Before white space, and anywhere.
_CLAUSES = frozenset(",;:—–-，、；：،؛།")
_DENSE_CLAUSES = frozenset("，、；：،؛།—")
_TRAILING = frozenset("!?.…,;:»)]}”’–—-")


def parts_of(
    text: str, longest: int, language: str = "", borders: Iterable[int] = (), whole: Collection[int] = ()
) -> list[tuple[int, int]]:
    """The parts of a text without white space at its ends, by where they begin and end: one behind the other they are the text. None is longer
    than `longest`. What is silent joins its neighbour where it fits.

    A part also ends at each of the `borders`, which are in order. No part ends at the places of `whole`; there are fewer than
    `longest` of them in a row.
    """
    found: list[tuple[int, int]] = []
    begin = start = 0
    for border in (*borders, len(text)):
        for end in sentence_ends(text, begin, border, language):
            if end in whole:
                continue
            solid = start + len(text[start:end].rstrip())
            # White space that does not fit behind what it follows goes before what comes next.
            while start < solid:
                cut = end if end - start <= longest else _best_cut(text, start, start + longest, solid, whole)
                found.append((start, cut))
                start = cut
        begin = border
    return _joined(text, found, longest)


def _best_cut(text: str, start: int, limit: int, solid: int, whole: Collection[int]) -> int:
    """Where to cut a sentence that is too long: behind a clause, unless that makes a short part, or between words, or in a word."""
    if solid <= limit:
        return limit
    low = start + (limit - start) // 4
    spaced = 0
    for at in range(limit, start, -1):
        if at in whole:
            continue
        before, behind = text[at - 1], text[at]
        if before.isspace() or behind.isspace():
            # The white space between two words belongs to the first, as far as it fits.
            if (at != limit and (behind.isspace() or not before.isspace())) or behind in _TRAILING:
                continue
            if at > low and _last_of(text, start, at) in _CLAUSES:
                return at
            spaced = spaced or at
        elif at > low and before in _DENSE_CLAUSES and behind != before:
            return at
        if at <= low and spaced:
            break
    return spaced or _cut_in_word(text, start, limit, low, whole)


def _last_of(text: str, start: int, at: int) -> str:
    while at > start and text[at - 1].isspace():
        at -= 1
    return text[at - 1 : at]


def _cut_in_word(text: str, start: int, limit: int, low: int, whole: Collection[int]) -> int:
    """Between two signs, the second one spoken, so that no part is silent; or between any two; or anywhere."""
    between = anywhere = 0
    for at in range(limit, start, -1):
        if at in whole:
            continue
        anywhere = anywhere or at
        if is_between_signs(text, at, start):
            if is_audible(text[at]):
                return at
            between = between or at
        if at <= low and between:
            break
    return between or anywhere


def _joined(text: str, parts: list[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    was_spoken = True
    for begin, end in parts:
        spoken = is_spoken(text[begin:end])
        if joined and not (spoken and was_spoken) and end - joined[-1][0] <= longest:
            joined[-1] = joined[-1][0], end
            was_spoken = was_spoken or spoken
        else:
            joined.append((begin, end))
            was_spoken = spoken
    return joined
