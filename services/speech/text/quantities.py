"""Values of SSML's attributes: names such as `x-slow`, percentages, semitones, decibels and times. Whatever is none raises ValueError,
in words for the caller."""

from __future__ import annotations

import math
import re

_NUMBER = r"(\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})"
_TIME = re.compile(rf"\+?{_NUMBER}(ms|s)", re.ASCII)
_PERCENTAGE = re.compile(rf"{_NUMBER}%", re.ASCII)
_PITCH = re.compile(rf"([+-]){_NUMBER}(%|st)", re.ASCII)
_VOLUME = re.compile(rf"([+-]){_NUMBER}dB", re.ASCII)

# SSML leaves to the engine how long, fast, high and loud its names are.
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 0.75, "x-strong": 1.0}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "fast": 1.35, "x-fast": 1.8, "default": 1.0}
_PITCHES = {"x-low": -6.0, "low": -3.0, "medium": 0.0, "high": 3.0, "x-high": 6.0, "default": 0.0}
_VOLUMES = {
    "silent": -math.inf,
    "x-soft": -12.0,
    "soft": -6.0,
    "medium": 0.0,
    "loud": 3.0,
    "x-loud": 6.0,
    "default": 0.0,
}

LOWEST_RATE, HIGHEST_RATE = 0.2, 4.0
FARTHEST_SEMITONES = 24.0
_LONGEST_BREAK = 10.0
_FARTHEST_DECIBELS = 40.0


def break_seconds(strength: str, time: str | None) -> float:
    """How long a break is; its time counts more than its strength."""
    if strength not in _STRENGTHS:
        raise ValueError(f"strength {strength[:40]!r} is not one of {', '.join(_STRENGTHS)}")
    if time is None:
        return _STRENGTHS[strength]
    found = _TIME.fullmatch(time.strip())
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else math.inf
    if seconds > _LONGEST_BREAK:
        raise ValueError(f"time {time[:40]!r} is not one such as 500ms or 1.5s, of at most 10s")
    return seconds


def factor(rate: str) -> tuple[float, bool]:
    """How fast, and whether that was a name."""
    if rate in _RATES:
        return _RATES[rate], True
    found = _PERCENTAGE.fullmatch(rate.strip())
    if found is None or not 100 * LOWEST_RATE <= float(found[1]) <= 100 * HIGHEST_RATE:
        raise ValueError(
            f"rate {rate[:40]!r} is neither a percentage from 20% to 400% nor one of {', '.join(_RATES)}"
        )
    return float(found[1]) / 100, False


def semitones(pitch: str) -> tuple[float, bool]:
    """How much higher, and whether that was a name."""
    if pitch in _PITCHES:
        return _PITCHES[pitch], True
    found = _PITCH.fullmatch(pitch.strip())
    value = _signed(found[1], found[2]) if found else math.inf
    if found and found[3] == "%":
        # A percentage is that of the frequency.
        value = 12 * math.log2(1 + value / 100) if value > -100 else math.inf
    if abs(value) > FARTHEST_SEMITONES:
        raise ValueError(
            f"pitch {pitch[:40]!r} is neither one such as +10% or -2st, within two octaves, nor one of {', '.join(_PITCHES)}"
        )
    return value, False


def decibels(volume: str) -> tuple[float, bool]:
    """How much louder, and whether that was a name."""
    if volume in _VOLUMES:
        return _VOLUMES[volume], True
    found = _VOLUME.fullmatch(volume.strip())
    value = _signed(found[1], found[2]) if found else math.inf
    if abs(value) > _FARTHEST_DECIBELS:
        raise ValueError(
            f"volume {volume[:40]!r} is neither one such as +6dB, of at most 40dB, nor one of {', '.join(_VOLUMES)}"
        )
    return value, False


def _signed(sign: str, number: str) -> float:
    return -float(number) if sign == "-" else float(number)
