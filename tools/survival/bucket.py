"""MinIO for a run: an S3 server of its own, with new keys, that ends with the block."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.settings import BlobSettings
from services.settings.kinds import SecretStr
from tools import peers
from tools.survival.replicas import ReplicaFailed, free_port

_BUCKET = "antiphon-survival"
_START_SECONDS = 30.0
_POLL_SECONDS = 0.05


@contextlib.contextmanager
def minio(folder: Path) -> Iterator[BlobSettings]:
    """The settings that choose it. Raises ReplicaFailed and PeerMissing."""
    program = peers.minio(lambda text: print(text, file=sys.stderr, flush=True))
    address = f"127.0.0.1:{free_port()}"
    settings = BlobSettings(
        s3_endpoint=f"http://{address}",
        s3_access_key=SecretStr(secrets.token_hex(8)),
        s3_secret_key=SecretStr(secrets.token_hex(16)),
        s3_bucket=_BUCKET,
    )
    given = environment(settings)
    with (folder / "minio.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "server", str(folder / "objects"), "--address", address, "--quiet"],
            env={
                "MINIO_ROOT_USER": given["S3_ACCESS_KEY"],
                "MINIO_ROOT_PASSWORD": given["S3_SECRET_KEY"],
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
                "HOME": str(folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + _START_SECONDS
        while not _is_ready(address):
            if process.poll() is not None or time.monotonic() > end:
                raise ReplicaFailed(f"MinIO did not start:\n{(folder / 'minio.log').read_text()}")
            time.sleep(_POLL_SECONDS)
        yield settings
    finally:
        process.kill()
        process.wait()


def environment(settings: BlobSettings) -> Mapping[str, str]:
    """What a replica needs to keep its objects there; nothing for a folder."""
    if not settings.is_s3:
        return {}
    keys = (settings.s3_access_key, settings.s3_secret_key)
    access_key, secret_key = ("" if key is None else key.get_secret_value() for key in keys)
    return {
        "S3_ENDPOINT": settings.s3_endpoint or "",
        "S3_ACCESS_KEY": access_key,
        "S3_SECRET_KEY": secret_key,
        "S3_BUCKET": settings.s3_bucket,
    }


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/minio/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
