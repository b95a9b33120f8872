"""Which texts may have a word, told by PostgreSQL, which knows no case folding: it passes all that have it, and few others.

Of letters, `lower` is only sure of ASCII's, whatever the locale. The other letters of a word are brought to their folded form one by one;
a letter that becomes several when folded, as ß does, lets a text pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from services.chat.words import WORD_CHARACTERS

_WORD = re.compile(r"\w+")
# The letters that have a case are in the first two planes of Unicode.
_PLANES = 0x20000
# Most texts are spared what is slow for the sake of other letters.
_NOT_ASCII = "octet_length(t) <> length(t)"


@dataclass(frozen=True, slots=True)
class _Foldings:
    """How characters beyond ASCII are folded: those that become the one character which is the key, and those that become several, or
    ASCII, with what they become."""

    single: Mapping[str, str]
    special: Mapping[str, str]


def may_have(words: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A condition on a text column `t`, and its parameters: true for each text that has all these folded words."""
    parameters: dict[str, str] = {}
    conditions = [_may_have(word, f"w{number}", parameters) for number, word in enumerate(words)]
    return " and ".join(f"({condition})" for condition in conditions) or "true", parameters


def _may_have(word: str, name: str, parameters: dict[str, str]) -> str:
    parameters[name] = word
    foldings = _foldings()
    lowered = 'lower(t collate "C")'
    others = sorted({character for character in word if character in foldings.single})
    if others:
        raw = "".join(foldings.single[character] for character in others)
        # `translate` pairs its arguments character by character.
        parameters[f"{name}_raw"] = raw
        parameters[f"{name}_folded"] = "".join(
            character * len(foldings.single[character]) for character in others
        )
        lowered = f"translate({lowered}, :{name}_raw, :{name}_folded)"
    found = f"strpos({lowered}, :{name}) > 0"
    if not word.isascii():
        found = f"{_NOT_ASCII} and {found}"
    special = [raw for raw, becomes in foldings.special.items() if _touches(becomes, word)]
    if not special:
        return found
    passing = []
    for number, raw in enumerate(special):
        parameters[f"{name}_s{number}"] = raw
        passing.append(f"strpos(t, :{name}_s{number}) > 0")
    return f"({found}) or ({_NOT_ASCII} and ({' or '.join(passing)}))"


def _touches(becomes: str, word: str) -> bool:
    """Whether a character that becomes this when folded may have a part in the word."""
    runs = _WORD.findall(becomes)
    if len(runs) == 1 and becomes.startswith(runs[0]) and becomes != runs[0]:
        # An accent that stands by itself ends a word.
        return word.endswith(runs[0])
    # A long word may have been cut within what the character becomes.
    cut = len(word) == WORD_CHARACTERS
    return any(run in word or (cut and run.startswith(word[-1])) for run in runs)


@cache
def _foldings() -> _Foldings:
    single: dict[str, str] = {}
    special: dict[str, str] = {}
    for number in range(0x80, _PLANES):
        raw = chr(number)
        becomes = raw.casefold()
        if becomes == raw:
            continue
        if len(becomes) == 1 and not becomes.isascii():
            single[becomes] = single.get(becomes, "") + raw
        else:
            special[raw] = becomes
    return _Foldings(single, special)
