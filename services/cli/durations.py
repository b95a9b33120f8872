"""Spans of time as they are typed: `90d`, `1h`, `1h30m`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from services.cli.output import CommandFailed

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PARTS = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_DAYS = re.compile(r"(?:[0-9]+[dw])+")
_DAYS_AGO = {"today": 0, "yesterday": 1}


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


def word(text: str, now: datetime) -> datetime | None:
    """What `now`, `today` and `yesterday` mean at that moment: days begin at midnight of its zone. None for every other text."""
    typed = text.strip().lower()
    if typed == "now":
        return now
    return _midnight(now, timedelta(days=_DAYS_AGO[typed])) if typed in _DAYS_AGO else None


def past(text: str, option: str, zone: tzinfo, now: datetime) -> datetime:
    """A point in time as the clocks of `zone` show it: how long before `now`, a date, or a word. A span of whole days or weeks begins with
    its first day. Raises CommandFailed, which names the option."""
    now = now.astimezone(zone)
    if (named := word(text, now)) is not None:
        return named
    try:
        given = datetime.fromisoformat(text.strip())
        return (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC).astimezone(zone)
    except (ValueError, OverflowError):
        pass
    span = _span(
        text,
        option,
        "date, and no span of time",
        "Write it as 2026-11-01, today or yesterday, or, back from now, as 7d or 12h.",
    )
    try:
        if not _DAYS.fullmatch(text.replace(" ", "").lower()):
            return (now.astimezone(UTC) - span).astimezone(zone)
        return _midnight(now, span)
    except OverflowError:
        raise CommandFailed(f"{option}: {text!r} is too far away", status=2) from None


def _midnight(now: datetime, back: timedelta) -> datetime:
    # As the clocks show them: where clocks are changed a day has 23 or 25 hours.
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0) - back
    return midnight.astimezone(UTC).astimezone(now.tzinfo)


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
