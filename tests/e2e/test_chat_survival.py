"""Clients outlive the server: it is killed with -9, or paused past its lease, what they hold is the record, and all of it is metered once."""

import subprocess
import sys

import pytest

from tests.e2e.suite_process import ROOT
from tests.peers.programs import clean_environment


@pytest.mark.long
@pytest.mark.parametrize("how", [(), ("--pause",)], ids=["killed", "paused"])
def test_every_client_has_the_record_or_knows_that_it_was_interrupted(how: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tools.survival", "--rounds", "5", *how],
        cwd=ROOT,
        env=clean_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"\n{ran.stdout}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
