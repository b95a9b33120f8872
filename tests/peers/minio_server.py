"""MinIO for the tests: an S3 server of their own on the loopback interface."""

from __future__ import annotations

import contextlib
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.settings import BlobSettings
from services.settings.kinds import SecretStr
from tests.peers.programs import Program, clean_environment, ending, free_port

_START_SECONDS = 30.0


@dataclass(frozen=True)
class Minio:
    """A running server, the key to it, and the name of a bucket."""

    program: Program
    port: int
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a suite needs to keep its objects there."""
        return {
            "S3_ENDPOINT": self.endpoint,
            "S3_ACCESS_KEY": self.access_key,
            "S3_SECRET_KEY": self.secret_key,
            "S3_BUCKET": self.bucket,
        }

    def settings(self, *, timeout: float = 20.0) -> BlobSettings:
        """The settings that choose it."""
        return BlobSettings(
            s3_endpoint=self.endpoint,
            s3_access_key=SecretStr(self.access_key),
            s3_secret_key=SecretStr(self.secret_key),
            s3_bucket=self.bucket,
            timeout=timeout,
        )

    def stop(self) -> None:
        """End it at once."""
        self.program.kill()


@contextlib.contextmanager
def minio_server(
    program: Path, folder: Path, port: int = 0, keys: tuple[str, str] | None = None
) -> Iterator[Minio]:
    """A server until the end of the block, with its objects below the folder; on a free port and with new keys unless they are given."""
    port = port or free_port()
    access_key, secret_key = keys or (secrets.token_hex(8), secrets.token_hex(16))
    environment = clean_environment(
        MINIO_ROOT_USER=access_key, MINIO_ROOT_PASSWORD=secret_key, MINIO_BROWSER="off", MINIO_UPDATE="off"
    )
    command = [str(program), "server", str(folder / "objects"), "--address", f"127.0.0.1:{port}", "--quiet"]
    with ending(Program(command, folder, environment)) as running:
        server = Minio(running, port, access_key, secret_key, "antiphon-test")
        running.wait_until(lambda: _ready(server.endpoint), "MinIO", _START_SECONDS)
        yield server


def _ready(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/minio/health/ready", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
