"""Amounts of money: nano-USD as people read and type them. No amount ever passes through a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

from services.cli.output import CommandFailed

MOST_USD = 1_000_000
NANO_DIGITS = 9
NO_PRICE = "none"

_NANO = 10**NANO_DIGITS
_CENT = _NANO // 100
_SIGNIFICANT = 4
_AMOUNT = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?")
_WITH_A_SIGN = re.compile(r"\$ ?([0-9][0-9.]*)|([0-9][0-9.]*) ?\$")
_WITH_A_COMMA = re.compile(r"([0-9]+),([0-9]+)")
_FORM = f"Write an amount in USD such as 2.50, or `{NO_PRICE}` where there is no price."


def dollars(nano_usd: int) -> str:
    """All of an amount, such as `$12.40`, `$10`, `$0.000075`."""
    exact = Decimal(nano_usd).scaleb(-NANO_DIGITS)
    if nano_usd % _NANO == 0:
        return f"${exact:.0f}"
    return f"${exact:.2f}" if nano_usd % _CENT == 0 else f"${exact.normalize():f}"


def rounded_dollars(nano_usd: int) -> str:
    """An amount as people want it in a table: in cents from a dollar on, four digits of what is less; such as `$1,234.50`, `$0.002135`."""
    if nano_usd >= _NANO:
        return f"${Decimal(_nearest(nano_usd, _CENT)).scaleb(-NANO_DIGITS):,.2f}"
    return dollars(_nearest(nano_usd, 10 ** max(0, len(str(nano_usd)) - _SIGNIFICANT)))


def _nearest(nano_usd: int, grain: int) -> int:
    return int((Decimal(nano_usd) / grain).to_integral_value(ROUND_HALF_EVEN)) * grain


def nano_usd_of(text: str) -> int | None:
    """Nano-USD of an amount in USD as it was typed, exactly; None for `none`. Raises CommandFailed."""
    if text.strip().lower() == NO_PRICE:
        return None
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise CommandFailed(f"{text!r} is no amount", _form(text.strip()), status=2)
    fraction = (found[2] or "").rstrip("0")
    if len(fraction) > NANO_DIGITS:
        raise CommandFailed(
            f"{text} has more than {NANO_DIGITS} digits behind the point; a nano-USD is the least", status=2
        )
    nano_usd: int = int(found[1]) * _NANO + int(fraction.ljust(NANO_DIGITS, "0"))
    if nano_usd > MOST_USD * _NANO:
        raise CommandFailed(f"{text} is more than {MOST_USD:,} USD", _FORM, status=2)
    return nano_usd


def _form(text: str) -> str:
    if signed := _WITH_A_SIGN.fullmatch(text):
        return f"Write it without the sign: {signed[1] or signed[2]}"
    if parts := _WITH_A_COMMA.fullmatch(text):
        return f"Cents stand behind a point, and thousands have no sign: {parts[1]}.{parts[2]} or {parts[1]}{parts[2]}"
    return _FORM
