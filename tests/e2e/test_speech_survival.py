"""Speech outlives the server: it is killed with -9 while callers have texts spoken, and table, objects, what was heard and usage agree all the same."""

import subprocess
import sys

import pytest

from tests.e2e.suite_process import ROOT
from tests.peers.programs import clean_environment

ROUNDS = "2"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_table_objects_what_was_heard_and_usage_agree_behind_kills() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tools.survival", "--speech", "--rounds", ROUNDS],
        cwd=ROOT,
        env=clean_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    print(f"\n{ran.stdout}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
