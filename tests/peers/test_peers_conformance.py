"""Clients in all languages observe the same: the conformance cases with each, against the real suite."""

import os
import subprocess
import sys

import pytest

from conformance.driver.building import built
from conformance.driver.failures import BuildFailed, ToolsMissing
from conformance.driver.languages import LANGUAGES, ROOT
from tests.peers.readying import Readier
from tools.peers import PeerMissing, Say

_SECONDS = 1200
_PATHS = (ROOT, ROOT / "gen" / "python", ROOT / "clients" / "python")


@pytest.mark.peers
@pytest.mark.parametrize("arguments", [[], ["--tls"]], ids=["plain", "mutual-tls"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_passes_all_cases(peer: Readier, language: str, arguments: list[str]) -> None:
    ready(peer, language)
    played = subprocess.run(
        [sys.executable, "-m", "conformance", language, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _PATHS))},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_SECONDS,
        check=False,
    )
    assert played.returncode == 0, f"\n{played.stdout}\n{played.stderr}"


def ready(peer: Readier, language: str) -> None:
    """Builds the language's runner; skips where its tools are missing."""

    def make(say: Say) -> None:
        try:
            built(LANGUAGES[language], say)
        except ToolsMissing as error:
            raise PeerMissing(str(error)) from error
        except BuildFailed as error:
            pytest.fail(str(error))

    peer(make)
