"""`.env.example` shows every setting, and nothing that the suite would refuse."""

import re
from pathlib import Path

from services.settings.reading import entries, known_names

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
NAME = re.compile(r"^#? ?([A-Z][A-Z0-9_]*)=", re.MULTILINE)


def shown() -> list[str]:
    return NAME.findall(EXAMPLE.read_text(encoding="utf-8"))


def test_every_setting_is_shown_once() -> None:
    names = {name for entry in entries() for name, _ in entry.names}
    assert names - set(shown()) == set()
    assert len(shown()) == len(set(shown()))


def test_what_is_shown_is_known() -> None:
    assert set(shown()) - known_names() == set()
