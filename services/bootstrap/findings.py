"""What `antiphon doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What a look found. NOTE is for what works and may surprise."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what was found, and what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""
