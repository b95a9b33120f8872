"""`antiphon serve` as a process: started, looked at, signalled and killed, as an operator does it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fakes.no_limits import NO_LIMITS
from tests.peers.programs import clean_environment, eventually, free_port

COMMAND = (sys.executable, "-m", "services.cli")
ROOT = Path(__file__).parents[2]
START_SECONDS = 40.0
MINUTE = 60.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class SuiteProcess:
    """A suite that was started in `folder`; what it tells is in two files there, one for each of its streams."""

    def __init__(
        self,
        folder: Path,
        *,
        data_dir: Path | str | None = None,
        port: int | None = None,
        services: Sequence[str] = (),
        settings: dict[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port() if port is None else port
        self.address = f"127.0.0.1:{self.port}"
        self.data_dir = folder / (data_dir or "data")
        self._out, self._err = folder / "out", folder / "err"
        given = ["--data-dir", str(data_dir or self.data_dir)]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", *services, "--port", str(self.port), *given, *arguments],
                cwd=folder,
                env=environment(folder, settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.began = time.monotonic()

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    @property
    def err(self) -> str:
        """Its log so far."""
        return self._err.read_text(encoding="utf-8", errors="replace")

    @property
    def log(self) -> list[dict[str, object]]:
        """Its log, line by line."""
        return [json.loads(line) for line in self.err.splitlines()]

    @property
    def password(self) -> str | None:
        """The password that it printed, if it did."""
        found = re.search(r"^  password (\S+)$", self.out, re.MULTILINE)
        return found[1] if found else None

    @property
    def is_up(self) -> bool:
        """Whether it has told that it is."""
        return "Antiphon is up" in self.out

    def up(self, seconds: float = START_SECONDS) -> "SuiteProcess":
        """Wait until it is up."""

        def look() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.err}"
            return self.is_up

        eventually(look, f"the suite ({self.err})", seconds)
        return self

    def kill(self) -> None:
        """As `kill -9` does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended(seconds)

    def ended(self, seconds: float = 30.0) -> int:
        """Its exit code, when it ends by itself."""
        return self.process.wait(seconds)

    def health(self, service: str = "") -> int | None:
        """What grpc.health.v1 says; None when nothing answers."""
        with grpc.insecure_channel(self.address, [("grpc.enable_http_proxy", 0)]) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                status: int = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=2).status
            except grpc.RpcError:
                return None
            return status

    def log_in(self, email: str, password: str) -> str:
        """An access token."""
        with grpc.insecure_channel(self.address, [("grpc.enable_http_proxy", 0)]) as channel:
            request = auth_pb2.LoginRequest(email=email, password=password)
            return auth_pb2_grpc.AuthServiceStub(channel).Login(request, timeout=20).access_token

    def register(self, email: str = "ana@example.com", password: str = "correct horse battery") -> str:
        """Make an account and log it in; an access token."""
        with grpc.insecure_channel(self.address, [("grpc.enable_http_proxy", 0)]) as channel:
            request = auth_pb2.RegisterRequest(email=email, password=password)
            auth_pb2_grpc.AuthServiceStub(channel).Register(request, timeout=20)
        return self.log_in(email, password)


def environment(folder: Path, settings: dict[str, str] | None = None) -> dict[str, str]:
    """What a suite under test finds: nothing of the settings of whoever runs the tests, no rate limits, and no metrics page on
    a fixed port."""
    return clean_environment(
        PYTHONPATH=str(ROOT),
        XDG_CONFIG_HOME=str(folder / "config"),
        **{"ANTIPHON_METRICS__ADDRESS": "off", **NO_LIMITS, **(settings or {})},
    )


NOBODY = 65534


def as_nobody() -> tuple[str, ...]:
    """What runs a command as an ordinary user; skips the test where that user can't run the suite."""
    prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env")
    asked = subprocess.run(
        [*prefix, COMMAND[0], "-c", "import services.cli"], cwd=ROOT, capture_output=True, check=False
    )
    if asked.returncode != 0:
        pytest.skip("another user cannot read this checkout or its Python")
    return prefix


def working_in(folder: Path) -> list[psutil.Process]:
    """The processes that work in this folder, or were told of it: suites, watchdogs, PostgreSQL."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if Path(process.cwd()).is_relative_to(folder) or any(
                str(folder) in word for word in process.cmdline()
            ):
                found.append(process)
    return found


def seconds_until_nobody_works_in(folder: Path, limit: float = MINUTE) -> float:
    """How long it takes until the last process of a suite there has ended; a failure when that is longer than a minute."""
    began = time.monotonic()
    eventually(lambda: not working_in(folder), f"the end of what works in {folder}", limit)
    return time.monotonic() - began
