"""Images outlive the server with their objects on MinIO, too."""

import subprocess
import sys

from tests.peers.programs import clean_environment
from tests.peers.readying import Readier
from tools import peers

ROUNDS = "3"


def test_index_objects_histories_and_usage_agree_behind_kills(peer: Readier) -> None:
    peer(peers.minio)
    ran = subprocess.run(
        [sys.executable, "-m", "tools.survival", "--images", "--s3", "--rounds", ROUNDS],
        cwd=peers.ROOT,
        env=clean_environment(PYTHONPATH=str(peers.ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"\n{ran.stdout}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
