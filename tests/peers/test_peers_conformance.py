"""Every client observes the same: the conformance cases with each language, against the real suite."""

import os
import subprocess
import sys

import pytest

from conformance.driver.building import built
from conformance.driver.failures import BuildFailed, ToolsMissing
from conformance.driver.languages import LANGUAGES, ROOT
from services.settings import ServerSettings
from tests.peers.readying import Readier
from tools.peers import PeerMissing, Say

_SECONDS = 1200


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_passes_all_cases(peer: Readier, language: str) -> None:
    ready(peer, language)
    passes(language)


@pytest.mark.skipif(not hasattr(ServerSettings(), "tls_certificate"), reason="the server has no TLS")
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_passes_them_over_mutual_tls(peer: Readier, language: str) -> None:
    ready(peer, language)
    passes(language, "--tls")


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


def passes(language: str, *arguments: str) -> None:
    """Plays the cases; what fails is shown as the driver's table."""
    ran = subprocess.run(
        [sys.executable, "-m", "conformance", language, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _PATHS))},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_SECONDS,
        check=False,
    )
    print(f"\n{ran.stdout}")
    assert ran.returncode == 0, ran.stdout + ran.stderr


_PATHS = (ROOT, ROOT / "gen" / "python", ROOT / "clients" / "python")
