"""What callers of Speech want, and how they behave."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

_SENTENCE = "The old man sat by the window, and counted the ships that came in. "
_LENGTHS = (0, 0, 60, 400, 400, 2000, 6000)
# Whoever is to leave in the middle has to find one.
_LEFT_LENGTHS = (2000, 6000, 9000)
_LONGEST = 20_000
_FORMATS = ("wav", "mp3", "ogg", "flac")


class Way(Enum):
    """By which call a caller asks: always the one, always the other, either at each attempt, or both at once with one request_id."""

    UNARY = auto()
    STREAM = auto()
    EITHER = auto()
    BOTH = auto()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for, and how it behaves. No two have the same `text`. `token` is empty for an anonymous one. `comes_back`: the call has a
    request_id and is repeated until it is answered, and twice more behind that. `leaves_after` so many seconds, or `leaves_behind` so many
    pieces of a stream, it calls its first attempt off. `pause` is how many seconds it takes over each piece."""

    token: str
    text: str
    format: str
    way: Way
    comes_back: bool
    deletes: bool
    leaves_after: float | None
    leaves_behind: int | None
    pause: float


def wishes(tokens: Sequence[str], count: int, chance: random.Random, first: int) -> list[Wish]:
    """Of ten: three anonymous, six that come back, two that delete, three that leave, one of which comes back, two that read slowly, and one
    with a long text. `first` is the number of the first of them among all."""
    made = []
    for number in range(count):
        kind = number % 10
        comes_back = kind in (0, 2, 3, 5, 7, 8)
        leaves = kind in (3, 4, 9)
        length = _LONGEST if kind == 8 else chance.choice(_LEFT_LENGTHS if leaves else _LENGTHS)
        made.append(
            Wish(
                token="" if kind in (1, 4, 7) else chance.choice(tokens),
                text=text_of(first + number, length),
                format=chance.choice(_FORMATS),
                way=chance.choice(_ways(kind, comes_back=comes_back)),
                comes_back=comes_back,
                deletes=kind in (2, 6),
                leaves_after=chance.uniform(0.02, 2.0) if kind in (3, 4) else None,
                leaves_behind=chance.randrange(1, 100) if kind == 9 else None,
                pause=0.01 if kind in (1, 5) else 0.0,
            )
        )
    return made


def _ways(kind: int, *, comes_back: bool) -> Sequence[Way]:
    if comes_back:
        return list(Way)
    return [Way.STREAM] if kind == 9 else [Way.UNARY, Way.STREAM]


def text_of(number: int, length: int) -> str:
    """A text of its own for each number: one word, or so many characters."""
    if not length:
        return f"Number{number}"
    beginning = f"Number {number}. "
    repeated = _SENTENCE * (length // len(_SENTENCE) + 1)
    return (beginning + repeated)[: length - 1] + "."
