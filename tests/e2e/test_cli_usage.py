"""Usage on the command line, as people ask for it and operators look after it."""

import csv
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.suite_process import SuiteProcess
from tests.peers.programs import clean_environment, eventually

pytestmark = pytest.mark.long


def test_what_was_used_priced_exported_and_reconciled(
    start_suite: Callable[..., SuiteProcess], tmp_path: Path
) -> None:
    suite = start_suite().up()
    environment = clean_environment(
        ANTIPHON_SERVER=suite.address, XDG_CONFIG_HOME=str(tmp_path / "config"), TZ="America/Lima"
    )

    def antiphon(*words: str, fails: bool = False) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "services.cli", *words],
            capture_output=True,
            text=True,
            env=environment | {"PYTHONPATH": os.getcwd()},
            cwd=tmp_path,
            timeout=30,
            check=False,
        )
        assert (ran.returncode != 0) is fails, ran.stdout + ran.stderr
        return ran.stdout if not fails else ran.stderr

    email, password = "admin@antiphon.local", str(suite.password)
    login = subprocess.run(
        [sys.executable, "-m", "services.cli", "login", "--password-stdin", email],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
        check=False,
    )
    assert login.returncode == 0, login.stderr
    for words in ("one", "two two", "three three three"):
        antiphon("chat", words)
    antiphon("chat", "--model", "nobody", "hello", fails=True)

    def counted() -> bool:
        totals = json.loads(antiphon("usage", "--json"))["totals"]
        return bool(totals["eventCount"] == "4")

    eventually(counted, "four counted calls", 15)
    found = json.loads(antiphon("usage", "--json", "--since", "1d", "--bucket", "hour"))
    assert found["span"]["timeZone"] == "America/Lima"
    assert (found["totals"]["successCount"], found["totals"]["refusedCount"]) == ("3", "1")
    assert "costNanoUsd" not in found["totals"]

    # Echo costs nothing until somebody says what it costs.
    antiphon("prices", "set", "echo", "input", "1.25")
    antiphon("prices", "set", "echo", "output", "2")
    assert int(json.loads(antiphon("usage", "--json"))["totals"]["costNanoUsd"]) > 0
    assert "echo" in antiphon("usage", "--system", "--by", "model", "--by", "status")

    file = tmp_path / "events.csv"
    antiphon("usage", "export", "--output", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(list(csv.DictReader(io.StringIO(file.read_text(), newline="")))) == 4

    antiphon("usage", "reconcile")
    antiphon("usage", "reconcile", "--repair")
