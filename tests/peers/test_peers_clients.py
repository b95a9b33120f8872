"""Clients in other languages are what the protos make, and their own tests pass."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from conformance.driver.languages import LANGUAGES, ROOT
from tests.peers.readying import Readier
from tools import clients
from tools.peers import PeerMissing, Say

_CLIENTS = ROOT / "clients"
# What conformance does not reach. Java's run with the build of its runner.
_TESTS: Mapping[str, Sequence[Sequence[str]]] = {
    "go": [["go", "vet", "./..."], ["go", "test", "./..."]],
    "rust": [["cargo", "test", "-j", "1", "--target-dir", str(ROOT / "build" / "rust")]],
    "typescript": [
        ["npm", "ci", "--no-audit", "--no-fund"],
        ["npm", "run", "build"],
        ["npm", "run", "check"],
        ["npm", "test"],
    ],
}


@pytest.mark.parametrize("language", clients.LANGUAGES)
def test_stubs_are_what_the_protos_make(peer: Readier, language: str) -> None:
    ready(peer, language)
    runs(ROOT, [sys.executable, "-m", "tools.clients", "check", language])


@pytest.mark.parametrize("language", _TESTS)
def test_its_own_tests_pass(peer: Readier, language: str) -> None:
    ready(peer, language)
    for command in _TESTS[language]:
        runs(_CLIENTS / language, command)


def ready(peer: Readier, language: str) -> None:
    """Skips where the language's tools are missing."""

    def find(say: Say) -> None:
        missing = [tool for tool in LANGUAGES[language].tools if shutil.which(tool) is None]
        if missing:
            raise PeerMissing(f"{language} needs {', '.join(missing)} on the path")

    peer(find)


def runs(folder: Path, command: Sequence[str]) -> None:
    """Runs a command that has to end well; what it says is shown otherwise."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
