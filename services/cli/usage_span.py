"""The options that say which calls are meant: since when, until when, by whose clocks, whose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Annotated

import typer

from services.cli.durations import past
from services.cli.output import CommandFailed
from services.cli.zones import local_zone, zone_of

Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="From when on: 7d, 12h, today, yesterday, 2026-11-01, 2026-11-01T08:00. Days and weeks begin at midnight.",
        show_default=False,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="WHEN", help="Up to when, itself not included: now by default.", show_default=False
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--zone",
        metavar="ZONE",
        help="By whose clocks, such as America/Lima or UTC: those of this machine by default.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, None where it was left open. `zone` is what `zone_name` means."""

    start: datetime | None
    end: datetime | None
    zone_name: str
    zone: tzinfo


def span_of(since: str | None, until: str | None, zone_name: str | None) -> Span:
    """The span that the options say. Raises CommandFailed."""
    for option, text in (("--since", since), ("--until", until), ("--zone", zone_name)):
        if text is not None and not text.strip():
            # What a script meant to fill in must not become everything.
            raise CommandFailed(f"{option} is empty", "Leave it out, or say what it is.", status=2)
    name = local_zone() if zone_name is None else zone_name.strip()
    zone, now = zone_of(name), datetime.now(UTC)
    start = None if since is None else past(since, "--since", zone, now)
    end = None if until is None else past(until, "--until", zone, now)
    if start is not None and start >= (end or now):
        raise CommandFailed(
            f"nothing lies between --since {since} and {'now' if until is None else f'--until {until}'}",
            status=2,
        )
    return Span(start, end, name, zone)
