"""`antiphon migrate` on a database that was given to it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long


def migrate(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = ("ANTIPHON_", "DATABASE_", "APP_ENV", "NODE_ENV")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "migrate", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean | environment,
        timeout=50,
        check=False,
    )


def schemas(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["schemas"]
    return found


def test_an_empty_database_is_brought_up_to_date(tmp_path: Path, postgres_url: str) -> None:
    before = migrate(tmp_path, "--status", "--json", DATABASE_URL=postgres_url)
    assert before.returncode == 1, before.stderr
    assert {schema["state"] for schema in schemas(before)} == {"empty"}

    done = migrate(tmp_path, "--json", DATABASE_URL=postgres_url)
    assert done.returncode == 0, done.stderr
    assert {(schema["before"], schema["state"]) for schema in schemas(done)} == {(None, "current")}

    after = migrate(tmp_path, "--status", DATABASE_URL=postgres_url)
    assert after.returncode == 0
    assert all(line.endswith("\tcurrent") for line in after.stdout.splitlines())
    assert not (tmp_path / ".antiphon").exists()


def test_a_database_that_can_not_be_reached_is_told_in_a_line_or_two(tmp_path: Path) -> None:
    done = migrate(tmp_path, DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/none")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert "secret" not in done.stderr


def test_a_misspelt_setting_is_told(tmp_path: Path) -> None:
    done = migrate(tmp_path, "--json", ANTIPHON_DATA_DIRR="x")
    assert done.returncode == 1
    assert "ANTIPHON_DATA_DIR" in json.loads(done.stderr)["error"]["advice"]
    assert migrate(tmp_path, "--json", ANTIPHON_SERVERR="x").returncode == 1
