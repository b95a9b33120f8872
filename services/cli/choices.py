"""Words that stand for one of several things, as they are typed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from services.cli.output import CommandFailed

Word = TypeVar("Word", bound=StrEnum)


def chosen(text: str, words: type[Word], option: str) -> Word:
    """What `text` names, in any case. Raises CommandFailed, which names the option, what there is, and the nearest of it."""
    typed = text.strip().lower()
    try:
        return words(typed)
    except ValueError:
        message = f"{option}: {text!r} is none of {', '.join(words)}"
        raise CommandFailed(message, did_you_mean(typed, words), status=2) from None


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """The question whether the nearest of what is known was meant; empty when nothing is near."""
    by_folded = {each.lower(): each for each in known}
    near = get_close_matches(text.lower(), by_folded, n=1)
    return f"Did you mean {by_folded[near[0]]}?" if near else ""
