"""What a word is, for everything that searches: a run of letters, digits and underscores, without regard to case.

A text in a script that puts no spaces between words, such as Chinese or Japanese, is one word from one sign to the next.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

SEARCHED_CHARACTERS = 100_000
"""What is behind them in a message is not found."""

WORD_CHARACTERS = 64
"""Of longer words the beginning counts."""

_MOST_WORDS = 100
_WORD = re.compile(r"\w+")


def words_in(text: str) -> Iterator[str]:
    """The words of a text in order, as they are compared."""
    for match in _WORD.finditer(folded(text)):
        yield match[0][:WORD_CHARACTERS]


def folded(text: str) -> str:
    """The part of a text that is looked at, without regard to case. A character may become several, never none."""
    return text[:SEARCHED_CHARACTERS].casefold()


def places(text: str, word: str) -> Iterator[int]:
    """Where a word of `words_in` begins in a folded text, from the first place on."""
    at = text.find(word)
    while at >= 0:
        match = _WORD.match(text, at)
        assert match is not None
        begins = at == 0 or not _WORD.match(text, at - 1, at)
        if begins and match[0][:WORD_CHARACTERS] == word:
            yield at
        at = text.find(word, match.end())


def unfolded(text: str, place: int) -> int:
    """Where the character of `text` stands that a place of its folded form belongs to."""
    for longer in _longer().finditer(text, 0, place):
        if longer.start() >= place:
            break
        place = max(place - len(longer[0].casefold()) + 1, longer.start())
    return place


@cache
def _longer() -> re.Pattern[str]:
    """The hundred letters that become several when folded, such as ß."""
    letters = (chr(number) for number in range(0x80, 0x20000))
    return re.compile(f"[{''.join(letter for letter in letters if len(letter.casefold()) > 1)}]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The different words of a query, of which the first 100 count."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, query: str) -> Wanted:
        """What a query asks for: no words when it has none."""
        return cls(tuple(dict.fromkeys(words_in(query)))[:_MOST_WORDS])

    def score(self, text: str) -> float | None:
        """How well a text fits; None when it lacks a word. It depends on nothing but the text and the words.

        The more often the words are said the better, by the logarithm, and the shorter the text is that says them.
        """
        looked_at = folded(text)
        said = 0.0
        for word in self.words:
            count = sum(1 for _ in places(looked_at, word))
            if not count:
                return None
            said += math.log1p(count)
        return round(said / (1 + math.log1p(len(_WORD.findall(looked_at)))), 9)
