"""What the doctor says of the record of what is used."""

from pathlib import Path

import pytest

from services.bootstrap.findings import Verdict
from services.bootstrap.recording import recording
from services.settings import Settings


@pytest.mark.parametrize(
    ("given", "verdict", "told"),
    [
        ({}, Verdict.GOOD, "on; PostgreSQL keeps events for 90 days, figures for 1096"),
        ({"ENABLE_ANALYTICS": "false"}, Verdict.NOTE, "off (ENABLE_ANALYTICS=false)"),
        (
            {"ANTIPHON_ANALYTICS__STORE": "mongo", "MONGODB_URL": "mongodb://127.0.0.1/antiphon"},
            Verdict.GOOD,
            "on; MongoDB keeps",
        ),
        (
            {"ANTIPHON_ANALYTICS__FIGURE_RETENTION": "30d"},
            Verdict.NOTE,
            "events for 90 days, figures for 90: never shorter than events",
        ),
        ({"ANTIPHON_PEERS__AUTH": "127.0.0.1:50051"}, Verdict.NOTE, "when Analytics runs in this process"),
        (
            {"ANTIPHON_PEERS__AUTH": "127.0.0.1:50051", "ANTIPHON_PEERS__CHAT": "127.0.0.1:50052"},
            Verdict.GOOD,
            "on; PostgreSQL keeps",
        ),
        (
            {"ANTIPHON_PEERS__AUTH": "127.0.0.1:50051", "ANTIPHON_PEERS__ANALYTICS": "127.0.0.1:50053"},
            Verdict.GOOD,
            "on; 127.0.0.1:50053 keeps what is used",
        ),
    ],
)
def test_whether_where_and_for_how_long(
    tmp_path: Path, given: dict[str, str], verdict: Verdict, told: str
) -> None:
    found = recording(Settings.load(given, tmp_path))
    assert (found.name, found.verdict) == ("analytics", verdict)
    assert told in found.detail
