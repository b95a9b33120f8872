"""What the doctor says of the record of what is used."""

from __future__ import annotations

from services.bootstrap.findings import Finding, Verdict
from services.settings import Settings

_DAY = 86400.0
_NAME = "analytics"


def recording(settings: Settings) -> Finding:
    """Whether anything is recorded, where it is kept, and for how long."""
    analytics, peers = settings.analytics, settings.peers
    if not analytics.enabled:
        return Finding(_NAME, Verdict.NOTE, "off (ENABLE_ANALYTICS=false): nothing that is used is recorded")
    if peers.analytics is not None:
        return Finding(_NAME, Verdict.GOOD, f"on; {peers.analytics} keeps what is used")
    store = "MongoDB" if analytics.store == "mongo" else "PostgreSQL"
    events, figures = analytics.event_retention / _DAY, analytics.figure_retention / _DAY
    kept = f"on; {store} keeps events for {events:g} days, figures for {max(events, figures):g}"
    if figures < events:
        return Finding(
            _NAME,
            Verdict.NOTE,
            f"{kept}: never shorter than events",
            f"ANTIPHON_ANALYTICS__FIGURE_RETENTION asks for {figures:g} days; ANTIPHON_ANALYTICS__EVENT_RETENTION is what has to be shorter.",
        )
    if peers.auth is not None and peers.chat is None:
        return Finding(
            _NAME,
            Verdict.NOTE,
            f"{kept}, when Analytics runs in this process",
            "Chat without it records, and delivers nothing before ANTIPHON_PEERS__ANALYTICS=host:port says where Analytics is.",
        )
    return Finding(_NAME, Verdict.GOOD, kept)
