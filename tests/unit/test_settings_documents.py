"""`.env.example` and docs/configuration.md tell of every setting what the code does."""

import re
from pathlib import Path

import pytest

from services.settings import Settings
from services.settings.reading import DATABASE_PARTS, Entry, entries, known_names
from services.settings.reserved import CLIENT_NAMES, RESERVED_NAMES

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
LINES = dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, re.MULTILINE))
ALL = list(entries())


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.path)
def test_the_example_shows_each_default(entry: Entry) -> None:
    for name, kind in entry.names:
        assert LINES[name] == ("" if entry.default is None else kind.show(entry.default))


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.path)
def test_the_page_has_each_setting_with_names_default_and_meaning(entry: Entry) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{entry.name}`"))
    for name, _ in entry.names:
        assert f"`{name}`" in row
    shown = entry.show(entry.default)
    assert f"| {f'`{shown}`' if shown else '–'} |" in row
    assert entry.setting.doc in row
    assert ("*Secret.*" in row) is entry.setting.kind.secret


def test_neither_has_names_that_nobody_knows() -> None:
    named = set(LINES) | set(re.findall(r"^\| `([A-Z_]+)`", PAGE, re.MULTILINE))
    assert named <= known_names()
    for name in (*RESERVED_NAMES, *CLIENT_NAMES, *DATABASE_PARTS):
        assert name in LINES
        assert f"`{name}`" in PAGE


def test_the_example_as_it_is_with_every_line_in_force_is_a_suite_with_its_defaults(tmp_path: Path) -> None:
    in_force = re.sub(r"^# ([A-Z][A-Z0-9_]*=)", r"\1", EXAMPLE, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(in_force.replace("DATABASE_PORT=5432", "DATABASE_PORT="))
    assert Settings.load({}, tmp_path).redacted() == {
        entry.name: str(tmp_path / ".antiphon") if entry.path == "data_dir" else entry.show(entry.default)
        for entry in ALL
    }
