"""How prices and durations are written in a catalog's file."""

from __future__ import annotations

import math
from contextlib import suppress
from decimal import Decimal, InvalidOperation

from services.settings.kinds import POSITIVE_DURATION

_NANO_DIGITS = 9
_MOST_USD = 1_000_000
_LONGEST_SECONDS = 86_400.0


def price(value: object) -> int:
    """Nano-USD of an amount in USD, a text or a number of the file, read exactly. Raises ValueError that says what it has to be."""
    if isinstance(value, str):
        try:
            amount = Decimal(value.strip()) if value.isascii() and "_" not in value else None
        except InvalidOperation:
            amount = None
    elif isinstance(value, Decimal):
        amount = value
    else:
        amount = Decimal(value) if type(value) is int else None
    if amount is None or not amount.is_finite():
        raise ValueError('has to be an amount in USD such as "2.50"')
    if amount.is_signed() and amount:
        raise ValueError("can't be negative")
    if amount > _MOST_USD:
        raise ValueError(f"can't be more than {_MOST_USD} USD")
    # In whole numbers, since the arithmetic of decimals rounds.
    _, digits, exponent = amount.as_tuple()
    significant = "".join(map(str, digits)).rstrip("0")
    shift = _NANO_DIGITS + int(exponent) + len(digits) - len(significant)
    if significant and shift < 0:
        raise ValueError(f"has more than {_NANO_DIGITS} digits behind the point; a nano-USD is the least")
    return int(significant) * 10**shift if significant else 0


def duration(value: object) -> float:
    """Seconds of a duration as the settings take it, or of a number of seconds. Raises ValueError that says what it has to be."""
    seconds = math.nan
    if isinstance(value, str):
        with suppress(ValueError):
            seconds = POSITIVE_DURATION.parse(value)
    elif type(value) is int or isinstance(value, Decimal):
        seconds = float(min(max(value, 0), 10**9)) if Decimal(value).is_finite() else math.nan
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValueError("has to be a duration above zero such as 500ms, 10s or 2m, of at most a day")
    return seconds
