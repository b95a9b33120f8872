"""Clients outlive the server with the records of Chat and Analytics on MongoDB, too."""

import os
import subprocess
import sys

import pytest

from tests.peers.programs import clean_environment
from tests.peers.readying import Readier
from tools import peers

ROUNDS = "5"


@pytest.mark.parametrize("how", [(), ("--pause",)], ids=["killed", "paused"])
def test_every_client_has_the_record_of_mongodb_or_knows_that_it_was_interrupted(
    peer: Readier, how: tuple[str, ...]
) -> None:
    url = os.environ.get("MONGODB_URL", "")
    if not url:
        peer(peers.mongo)
    ran = subprocess.run(
        [sys.executable, "-m", "tools.survival", "--store", "mongo", "--rounds", ROUNDS, *how],
        cwd=peers.ROOT,
        env=clean_environment(PYTHONPATH=str(peers.ROOT), **({"MONGODB_URL": url} if url else {})),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"\n{ran.stdout}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
