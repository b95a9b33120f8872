"""What kind of character stands where: what is spoken, and what is one sign to its reader, however many code points it has."""

from __future__ import annotations

import unicodedata

# Letters of scripts that put no spaces between words, as far as their sentences may be typed with the full stops of others.
_DENSE = (("\u2e80", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))
# Punctuation by its category that is read out all the same.
_READ = frozenset("#%&@§¶†*/\\٪")
_FIRST_FLAG, _LAST_FLAG = "\U0001f1e6", "\U0001f1ff"
_JOINERS = "\u200c\u200d"
_VIRAMA = 9


def is_spoken(text: str) -> bool:
    """Whether there is anything to speak in a text: a letter, a digit or a sign that has a name. Punctuation and white space are silent."""
    return any(map(is_audible, text))


def is_audible(character: str) -> bool:
    """Whether this one is spoken."""
    if character.isalnum() or character in _READ:
        return True
    kind = unicodedata.category(character)
    return kind[0] == "S" and kind != "Sk"


def is_dense(character: str) -> bool:
    """Whether it is of a script without spaces, Chinese or Japanese."""
    return any(first <= character <= last for first, last in _DENSE)


def is_between_signs(text: str, at: int, since: int) -> bool:
    """Whether one sign ends and another begins at this place of a text. That is the rule of UAX #29 for grapheme clusters, as far as the
    standard library knows the characters' properties. Flags are counted from `since`, where a sign begins."""
    before, behind = text[at - 1], text[at]
    if before.isascii() and behind.isascii():
        return (before, behind) != ("\r", "\n")
    if (
        before == "\u200d"
        or behind in _JOINERS
        or _continues(behind)
        or (behind.isalpha() and unicodedata.combining(before) == _VIRAMA)
    ):
        return False
    if _FIRST_FLAG <= before <= _LAST_FLAG and _FIRST_FLAG <= behind <= _LAST_FLAG:
        first = at - 1
        while first > since and _FIRST_FLAG <= text[first - 1] <= _LAST_FLAG:
            first -= 1
        return (at - first) % 2 == 0
    return not (_is_leading_jamo(before) and "\u1100" <= behind <= "\u11ff")


def _continues(character: str) -> bool:
    """Marks, skin tones and the tags of flags go with what stands before them; vowel and final parts of Hangul syllables too."""
    return (
        unicodedata.category(character)[0] == "M"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
        or "\u1160" <= character <= "\u11ff"
        or character in "\u0e33\u0eb3"
    )


def _is_leading_jamo(character: str) -> bool:
    return "\u1100" <= character <= "\u115f"
