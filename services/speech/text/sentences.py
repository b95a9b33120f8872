"""Where sentences end. The idea is that of UAX #29 (SB rules), with what it leaves to others: abbreviations, ordinals and initials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.speech.text.abbreviations import (
    ALWAYS,
    BEFORE_NUMBERS,
    MONTHS,
    OPENERS,
    ORDINAL_LANGUAGES,
    PARTICLES,
    SOMETIMES,
)
from services.speech.text.characters import is_dense

# They end a sentence wherever they stand; those in the next line only before white space, and the last ones only where nothing speaks
# against it.
_FULL = "。｡．！？；؟۔।॥։።፧፨។៕။"
_LOUD = "!?‼⁇⁈⁉‽\u037e"
_DOTS = ".…‥․"
# Question marks and full stops of these scripts alone, Greek and Armenian; clauses end with them elsewhere.
_OF_SCRIPTS = {";": ("\u0370", "\u03ff"), ":": ("\u0531", "\u058f")}
# Emoji close a sentence like quotes when they stick to its end.
_CLOSING = r"\"'”’»«›)\]}」』】）》〉〕］｝＂＇*_\u2600-\u27bf\U0001f000-\U0001faff\u200d\ufe0f\u20e3"

# Each alternative takes runs of classes that have nothing in common, so there is one way to match, and time is linear.
_PLACE = re.compile(rf"([{_FULL}{_LOUD}{_DOTS}]+|[;:])((?:[{_CLOSING}]|[ \u00a0\u202f]»(?=\s|\Z))*)(\s*)|\s+")
_LINE = r"(?:\r\n|[\n\r\x85\u2028])"
_GAP = re.compile(rf"{_LINE}[^\S\n\r\x85\u2028]*{_LINE}|[\u2029\f\v]")
_ITEM = re.compile(r"(?:[-*•‣–—]|\d{1,3}[.)])[ \t]")
_NEXT = re.compile(r"([\"'“„‘‚«‹»(\[{*_—–\-¿¡]{0,8})([^\W_][\w'’\-]{0,30})?(\.?)")
_APART = re.compile(r"[\s'’\-–—/\"“”„«»(\[{¿¡*_]+")
_ROMAN = re.compile(r"[IVXLC]{1,6}")
_LONGEST_WORD = 24


@dataclass(frozen=True, slots=True)
class _Following:
    """What stands behind the white space: its first word, `first` being the very first character."""

    first: str
    word: str
    begins: bool
    """Whether it can't but begin a sentence, as ¿ does."""
    is_initial: bool

    @property
    def is_lower(self) -> bool:
        """Whether it goes on in lower case; an iPhone does not."""
        return not self.begins and self.word[:1].islower() and not self.word[1:2].isupper()

    @property
    def opens(self) -> bool:
        """Whether it is a word that sentences begin with."""
        return self.begins or (self.word.casefold() in OPENERS and not self.is_initial)


def sentence_ends(text: str, begin: int, end: int, language: str = "") -> Iterator[int]:
    """Where the sentences between two places of a text end, each with the white space behind it; the last one ends at `end`."""
    start = begin
    for place in _PLACE.finditer(text, begin, end):
        if place.end() < end and _is_end(text, place, start, end, language):
            start = place.end()
            yield start
    yield end


def _is_end(text: str, place: re.Match[str], start: int, end: int, language: str) -> bool:
    stops, closing, space = place.groups()
    if stops is None:
        return _is_gap(text, place[0], place.end())
    at, after = place.start(), place.end()
    first = text[after]
    if _is_gap(text, space, after):
        return True
    if not set(stops).isdisjoint(_FULL):
        is_number = not closing + space and first.isdigit() and text[at - 1 : at].isdigit()
        # 「行く。」と言った: the quotation is a part of the sentence.
        return not is_number and not (closing and first in "とっ")
    if stops in _OF_SCRIPTS:
        lowest, highest = _OF_SCRIPTS[stops]
        return bool(space) and lowest <= text[at - 1 : at] <= highest
    is_loud = not set(stops).isdisjoint(_LOUD)
    if not space:
        is_typed = is_loud or (stops == "." and is_dense(text[at - 1 : at] or " "))
        return first in "¿¡" or (is_typed and is_dense(first))
    following = _following(text, after, end)
    if is_loud:
        # “Stop!” he said. —¿Vienes? —preguntó.
        return not (following.is_lower and (closing or following.first in "—–"))
    if following.is_lower or following.first in ",;:)]}%!?":
        return False
    return len(stops) > 1 or stops != "." or not _is_abbreviated(text, start, at, following, language)


def _is_gap(text: str, space: str, after: int) -> bool:
    """Whether white space is the end of a paragraph, or of an item of a list."""
    if _GAP.search(space):
        return True
    return not set(space).isdisjoint("\n\r\u2028") and _ITEM.match(text, after) is not None


def _following(text: str, after: int, end: int) -> _Following:
    found = _NEXT.match(text, after, end)
    assert found is not None
    opening, word, stop = found[1], found[2] or "", found[3]
    begins = "¿" in opening or "¡" in opening
    return _Following(text[after], word, begins, len(word) == 1 and stop == ".")


def _is_abbreviated(text: str, start: int, at: int, following: _Following, language: str) -> bool:
    """Whether the full stop at this place belongs to the word before it, in a sentence that began at `start`."""
    word = _APART.split(text[max(start, at - _LONGEST_WORD) : at])[-1]
    if not word or following.begins:
        return False
    key = word.casefold()
    has_ordinals = language.casefold().replace("_", "-").split("-")[0] in ORDINAL_LANGUAGES
    if word.isdecimal():
        return _is_ordinal(text, start, at, word, following, has_ordinals)
    if key in ALWAYS:
        return True
    if "." in word:
        parts = word.split(".")
        if all(part.isdecimal() for part in parts):
            # 24.12. without its year.
            return has_ordinals and len(parts) == 2 and len(word) <= 5 and not following.opens
        return all(part.isalpha() and len(part) <= 2 for part in parts) and not following.opens
    if key in BEFORE_NUMBERS:
        return following.word[:1].isdecimal()
    if len(word) == 1 and word.isalpha() and word.lower() != word.upper():
        return not following.opens or following.word.casefold() in PARTICLES
    if key in SOMETIMES:
        return not following.opens
    return has_ordinals and _ROMAN.fullmatch(word) is not None and not following.opens


def _is_ordinal(text: str, start: int, at: int, word: str, following: _Following, has_ordinals: bool) -> bool:
    if len(word) > 3:
        return False
    before = text[max(start, at - len(word) - 8) : at - len(word)]
    # The number of a heading or of a list's item: 1. Introduction.
    if not before.strip() or before.rstrip(" \t").endswith(("\n", "\r")):
        return True
    if len(word) > 2:
        return False
    return following.word.casefold() in MONTHS or (has_ordinals and not following.opens)
