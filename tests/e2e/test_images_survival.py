"""Images outlive the server: it is killed with -9 while callers have them made, and index, objects, histories and usage agree all the same."""

import subprocess
import sys

import pytest

from tests.e2e.suite_process import ROOT
from tests.peers.programs import clean_environment

ROUNDS = "3"


@pytest.mark.long
def test_index_objects_histories_and_usage_agree_behind_kills() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tools.survival", "--images", "--rounds", ROUNDS],
        cwd=ROOT,
        env=clean_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"\n{ran.stdout}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
