"""Choices that follow from a key alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """An endless row of choices; the same for the same key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._drawn = 0

    def below(self, bound: int) -> int:
        """A number of [0, bound)."""
        block = hashlib.sha256(self._key + self._drawn.to_bytes(4, "big")).digest()
        self._drawn += 1
        return int.from_bytes(block[:8], "big") % bound

    def between(self, lowest: int, highest: int) -> int:
        """A number of [lowest, highest]."""
        return lowest + self.below(highest - lowest + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.below(len(choices))]
