"""`antiphon signing-keys` on a deployment, as an operator uses it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.suite_process import COMMAND, SuiteProcess, environment

StartSuite = Callable[..., SuiteProcess]
KEY = "0123456789-0123456789-0123456789-0123456789"


def signing_keys(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "signing-keys", *arguments],
        cwd=folder,
        env=environment(folder, settings),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.long
def test_keys_of_an_embedded_database_are_listed_and_rotated_beside_the_suite_and_without_it(
    tmp_path: Path, start_suite: StartSuite
) -> None:
    suite = start_suite().up()
    where = ("--data-dir", str(suite.data_dir))
    listed = signing_keys(tmp_path, "list", *where)
    assert [line.split("\t")[1] for line in listed.stdout.splitlines()] == ["next", "active"], listed.stderr
    following = listed.stdout.split("\t")[0]
    told = json.loads(signing_keys(tmp_path, "list", "--json", *where).stdout)["signingKeys"]
    assert [(key["kid"] == following, *sorted(key)) for key in told] == [
        (True, "kid", "publishTime", "state"),
        (False, "activateTime", "kid", "publishTime", "state"),
    ]
    assert all(key["publishTime"].endswith("Z") for key in told)
    leaked = signing_keys(tmp_path, "rotate", "--leaked", *where)
    assert leaked.returncode == 0, leaked.stderr
    assert f"{following} signs now" in leaked.stdout
    assert suite.log_in("admin@antiphon.local", suite.password or "")
    suite.stop()
    rotated = signing_keys(tmp_path, "rotate", "--json", *where)
    assert rotated.returncode == 0, rotated.stderr
    assert json.loads(rotated.stdout)["retired"] == following


@pytest.mark.long
def test_a_command_that_can_do_nothing_says_why(tmp_path: Path, migrated_url: str, postgres_url: str) -> None:
    given = {"DATABASE_URL": migrated_url, "ANTIPHON_SECRET_KEY": KEY}
    cases = [
        (("list",), {}, "no deployment"),
        (("rotate",), given, "no signing keys yet"),
        (("rotate",), {"DATABASE_URL": migrated_url}, "ANTIPHON_SECRET_KEY"),
        (("list",), {**given, "DATABASE_URL": postgres_url}, "antiphon migrate"),
        (("rotate",), {**given, "JWT_PRIVATE_KEY_PATH": "mine.pem"}, "JWT_PUBLIC_KEY_PATH"),
    ]
    for arguments, settings, says in cases:
        done = signing_keys(tmp_path, *arguments, **settings)
        assert done.returncode == 1, done
        assert says in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
