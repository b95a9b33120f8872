"""The options that say which calls are meant: since when, until when, by whose clocks, whose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated

import typer

from services.cli.durations import past
from services.cli.output import CommandFailed
from services.cli.zones import local_zone, zone_of

Since = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="From when on: 7d, 12h, 2026-11-01, 2026-11-01T08:00. Days and weeks begin at midnight.",
        show_default=False,
    ),
]
Until = Annotated[
    str,
    typer.Option(
        "--until", metavar="WHEN", help="Up to when, itself not included: now by default.", show_default=False
    ),
]
Zone = Annotated[
    str,
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


def span_of(since: str, until: str, zone_name: str) -> Span:
    """The span that the options say. Raises CommandFailed."""
    name = zone_name.strip() or local_zone()
    zone = zone_of(name)
    start = past(since, "--since", zone) if since else None
    end = past(until, "--until", zone) if until else None
    if start is not None and start >= (end or datetime.now(zone)):
        raise CommandFailed(
            f"nothing lies between --since {since} and {f'--until {until}' if until else 'now'}", status=2
        )
    return Span(start, end, name, zone)
