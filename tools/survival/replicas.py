"""Serving processes that are started, killed, paused and woken."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from services.settings import LimitSettings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("auth", "chat", "analytics")
"""What the deployments of Chat serve."""

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_LOG_LINES = 30
# What a program may need of the environment; the settings of whoever runs this stay out.
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH")
_CATALOG = """
[providers.counting]
base_url = "{url}"

[[models]]
name = "counting"
provider = "counting"
"""


class ReplicaFailed(Exception):
    """A serving process did not start; its figures would mean nothing."""


class Replica:
    """A suite at an address of its own that stays the same, however often its process ends."""

    def __init__(
        self, name: str, folder: Path, environment: Mapping[str, str], services: Sequence[str] = ()
    ) -> None:
        """`services` are those that it serves; all when left out."""
        self.name = name
        self._services = services
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._environment = dict(environment)
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._began_at = 0

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What all its processes have said."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    @property
    def password(self) -> str:
        """The administrator's, as the first start of a deployment prints it."""
        found = re.search(r"^  password (\S+)$", self.log, re.MULTILINE)
        assert found is not None
        return found[1]

    @property
    def exceptions(self) -> list[str]:
        """The lines of its log that have a traceback: nothing that happens here may be unforeseen."""
        return [line for line in self.log.splitlines() if "Traceback (most recent call last)" in line]

    def start(self) -> None:
        """Start its process; `up` waits for it."""
        self._began_at = len(self.log)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "serve", *self._services, "--port", str(self.port)],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def up(self) -> None:
        """Wait until it serves. Raises ReplicaFailed."""
        end = time.monotonic() + _START_SECONDS
        while "Antiphon is up" not in self.log[self._began_at :]:
            if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                told = "\n".join(self.log.splitlines()[-_LOG_LINES:])
                raise ReplicaFailed(f"{self.name} did not start; the end of what it said:\n{told}")
            await asyncio.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """As `kill -9` does."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """As `kill -STOP` does."""
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """As `kill -CONT` does."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        self.wake()
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


def settings(
    folder: Path, upstream_url: str, lease_seconds: float, store: Mapping[str, str]
) -> dict[str, str]:
    """The environment of replicas of one deployment with Chat. `store` says where its records are."""
    catalog = folder / "models.toml"
    catalog.write_text(_CATALOG.format(url=upstream_url), encoding="utf-8")
    return {
        **plain_settings(folder),
        "ANTIPHON_CHAT__MODELS_FILE": str(catalog),
        "ANTIPHON_CHAT__LEASE_TTL": f"{lease_seconds:g}",
        **store,
    }


def plain_settings(folder: Path) -> dict[str, str]:
    """The environment of replicas of one deployment, whose calls nobody counts."""
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        **{f"ANTIPHON_LIMITS__{field.name.upper()}": "0" for field in fields(LimitSettings)},
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(str(path) for path in (ROOT, ROOT / "gen" / "python")),
        "ANTIPHON_SECRET_KEY": secrets.token_urlsafe(48),
        "ANTIPHON_DATA_DIR": str(folder / "data"),
        "ANTIPHON_METRICS__ADDRESS": "off",
        "ANTIPHON_SERVER__GRACE": "1",
        "ANTIPHON_LOG__FORMAT": "json",
    }


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
