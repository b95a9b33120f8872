"""Spans of time as they are typed: `90d`, `1h`, `1h30m`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from services.cli.output import CommandFailed

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PARTS = re.compile(r"(?:[0-9]{1,9}[smhdw])+")


def duration(text: str, option: str) -> timedelta:
    """A span of time. Raises CommandFailed, which names the option."""
    return _span(text, option, "span of time", "Write it as 90d, 12h, 30m or 1h30m.")


def moment(text: str, option: str) -> datetime:
    """A point in time: a span from now, or a date such as `2027-01-31`. Raises CommandFailed, which names the option."""
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        pass
    try:
        span = _span(
            text, option, "date, and no span of time", "Write it as 2027-01-31, or, from now, as 90d or 12h."
        )
        return datetime.now().astimezone() + span
    except OverflowError:
        raise CommandFailed(f"{option}: {text!r} is too far away", status=2) from None


def _span(text: str, option: str, what: str, form: str) -> timedelta:
    compact = text.replace(" ", "").lower()
    if compact == "0":
        return timedelta()
    if not _PARTS.fullmatch(compact):
        raise CommandFailed(f"{option}: {text!r} is no {what}", form, status=2)
    try:
        return sum(
            (timedelta(**{_UNITS[unit]: int(number)}) for number, unit in re.findall(r"(\d+)(\D)", compact)),
            timedelta(),
        )
    except OverflowError:
        raise CommandFailed(f"{option}: {text!r} is too long", status=2) from None
