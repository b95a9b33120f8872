"""Time zones: the one that this machine keeps, and what a name means here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from services.cli.choices import did_you_mean
from services.cli.output import CommandFailed

LOCALTIME = Path("/etc/localtime")
TIMEZONE = Path("/etc/timezone")


def local_zone(localtime: Path = LOCALTIME, timezone: Path = TIMEZONE) -> str:
    """The IANA name of the zone that this machine's clocks keep, `UTC` when it can't be found: what `TZ` says, else where `localtime`
    points, else what stands in `timezone`."""
    for name in _candidates(localtime, timezone):
        if name in ("UTC", "Etc/UTC") or _known(name) is not None:
            return name
    return "UTC"


def zone_of(name: str) -> tzinfo:
    """What the name means. Raises CommandFailed when nobody has told this machine."""
    found = UTC if name in ("", "UTC", "Etc/UTC") else _known(name)
    if found is None:
        raise CommandFailed(
            f"--zone: {name!r} is no time zone that this machine knows", _advice(name), status=2
        )
    return found


def _advice(name: str) -> str:
    known = available_timezones()
    if not known:
        return "This machine knows UTC alone; `pip install tzdata` brings the others."
    typed = name.replace(" ", "_").lower()
    # The first name of a place is that of its region.
    by_place = {each.rpartition("/")[2].lower(): each for each in sorted(known, reverse=True)}
    meant = f"Did you mean {by_place[typed]}?" if typed in by_place else did_you_mean(typed, known)
    return meant or "Write an IANA name such as America/Lima or UTC."


def _candidates(localtime: Path, timezone: Path) -> Iterator[str]:
    if "TZ" in os.environ:
        # What it says counts, even where it says nothing that has a name.
        yield _after_zoneinfo(os.environ["TZ"].removeprefix(":"))
        return
    try:
        yield _after_zoneinfo(str(localtime.resolve()))
        yield timezone.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return


def _after_zoneinfo(path: str) -> str:
    return path.rpartition("zoneinfo/")[2].removeprefix("posix/").removeprefix("right/")


def _known(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # Absolute paths, folders and plain nonsense each have an exception of their own.
        return None
