"""Clients in all languages are what the protos make, pass their own tests, and observe the same: the conformance cases with each, against
the real suite."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from conformance.driver.languages import LANGUAGES, ROOT, Language
from tools import clients

_SECONDS = 1200
_END_SECONDS = 60
_OVER_TLS = ("tls/", "calls/", "streams/", "resume/", "images/")
_PATHS = (ROOT, ROOT / "gen" / "python", ROOT / "clients" / "python")
# What conformance does not reach. Java's run with the build of its runner.
_TESTS: Mapping[str, Sequence[Sequence[str]]] = {
    "go": [["go", "vet", "./..."], ["go", "test", "./..."]],
    "rust": [["cargo", "test", "-j", "1", "--target-dir", str(ROOT / "build" / "rust")]],
    "typescript": [["npm", "run", "check"], ["npm", "test"]],
}


@pytest.mark.parametrize("language", clients.LANGUAGES)
def test_stubs_are_what_the_protos_make(runner: Language) -> None:
    runs(ROOT, [sys.executable, "-m", "tools.clients", "check", runner.name])


@pytest.mark.parametrize("language", _TESTS)
def test_its_own_tests_pass(runner: Language) -> None:
    for command in _TESTS[runner.name]:
        runs(ROOT / "clients" / runner.name, command)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_passes_all_cases(runner: Language) -> None:
    runs(ROOT, [sys.executable, "-m", "conformance", runner.name])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_passes_those_of_connections_over_mutual_tls(runner: Language) -> None:
    """All cases over TLS are `python -m conformance --tls`, and five minutes more."""
    chosen = [argument for name in _OVER_TLS for argument in ("--case", name)]
    runs(ROOT, [sys.executable, "-m", "conformance", runner.name, "--tls", *chosen])


def runs(folder: Path, command: Sequence[str]) -> None:
    """Runs a command that has to end well; what it says is shown otherwise. One that takes too long is asked to end, since it has
    processes of its own."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _PATHS))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        said, _ = process.communicate(timeout=_SECONDS)
    except BaseException:
        process.terminate()
        process.communicate(timeout=_END_SECONDS)
        raise
    assert process.returncode == 0, f"{' '.join(command)}\n{said}"
