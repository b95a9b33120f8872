"""The real suite as processes: `antiphon serve` on an embedded PostgreSQL, started, asked to stop, killed, and started again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from conformance.driver import certificates
from conformance.driver.certificates import ServerTls
from conformance.driver.failures import DriverFailed
from conformance.driver.languages import PYTHON_PATH
from conformance.driver.provider import Provider
from services.settings import LimitSettings

_START_SECONDS = 120.0
_STOP_SECONDS = 40.0
_POLL_SECONDS = 0.05
_LOG_LINES = 30
# What a program may need of the environment; the settings of whoever runs the cases stay out.
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_NO_LIMITS = {f"ANTIPHON_LIMITS__{each.name.upper()}": "0" for each in fields(LimitSettings)}


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to set the suite up. A case names the one that it needs."""

    says: str
    settings: Mapping[str, str] = field(default_factory=dict)
    services: Sequence[str] = ()
    provided: bool = False
    """Whether its models are those of the provider that the driver plays."""


KINDS: Mapping[str, Kind] = {
    "plain": Kind("without limits", {"ANTIPHON_SERVER__GRACE": "2s"}),
    "limited": Kind(
        "with limits that a case can reach",
        {
            "ANTIPHON_LIMITS__DEFAULT": "4",
            "ANTIPHON_LIMITS__CHAT": "2",
            "ANTIPHON_LIMITS__IMAGE": "1",
            "ANTIPHON_CHAT__MAX_ANSWER_BYTES": "1000",
        },
    ),
    # Without a grace, refresh tokens are good once: who renews by the same one twice has lost the session.
    "brief": Kind(
        "whose access tokens live for two seconds",
        {"ANTIPHON_AUTH__ACCESS_TOKEN_TTL": "2s", "ANTIPHON_AUTH__REFRESH_GRACE": "0s"},
    ),
    # Failed logins delay all of an address, so nobody may have to log in here.
    "guarded": Kind("where failed logins are delayed", {"ANTIPHON_AUTH__LOGIN_FAILURES": "5"}, ("auth",)),
    "provided": Kind(
        "whose models are played by the driver", {"ANTIPHON_SERVER__GRACE": "2s"}, provided=True
    ),
    "narrow": Kind(
        "of a few services, which makes one answer at a time, keeps no events, and does not reach images",
        {
            "ANTIPHON_CHAT__MAX_GENERATIONS": "1",
            "ANTIPHON_CHAT__EVENT_RETENTION": "0s",
            "ANTIPHON_PEERS__IMAGE": "127.0.0.1:9",
        },
        ("auth", "chat", "analytics"),
    ),
}


class Suite:
    """A suite of some kind in a folder of its own, always on the same port. It is told `more` settings than those of its kind."""

    def __init__(self, kind: str, folder: Path, tls: ServerTls | None, more: Mapping[str, str]) -> None:
        self.kind = kind
        self.port = _free_port()
        self.admin_password = ""
        self._folder = folder
        self._tls = tls
        self._more = more
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._up = False

    @property
    def up(self) -> bool:
        """Whether it was started, and has not ended since."""
        return self._up and self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it, and wait until it is up; what is left of an earlier start ends before. Raises DriverFailed."""
        await self.stop()
        process = self._process = self._begun(KINDS[self.kind])
        deadline = time.monotonic() + _START_SECONDS
        while "Antiphon is up" not in (said := self._said()):
            if process.poll() is not None or time.monotonic() > deadline:
                end = "\n".join(said.splitlines()[-_LOG_LINES:])
                await self.stop()
                raise DriverFailed(
                    f"the suite {KINDS[self.kind].says} did not start; the end of its log:\n{end}"
                )
            await asyncio.sleep(_POLL_SECONDS)
        password = re.search(r"^  password (\S+)$", said, re.MULTILINE)
        self.admin_password = password[1] if password else self.admin_password
        self._up = True

    def _begun(self, kind: Kind) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "services.cli", "serve", *kind.services, "--port", str(self.port)]
        # Every start has a log of its own, so that the end of it tells of this one.
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*command, "--data-dir", str(self._folder / "data")],
                cwd=self._folder,
                env=self._environment(kind),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def stop(self) -> None:
        """Ask it to end, and wait for that."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As `kill -9` does."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process, self._up = self._process, None, False
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        try:
            await asyncio.to_thread(process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
            raise DriverFailed("the suite did not stop when it was asked to") from None

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _environment(self, kind: Kind) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        settings = {
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": PYTHON_PATH,
            "XDG_CONFIG_HOME": str(self._folder / "config"),
            "ANTIPHON_METRICS__ADDRESS": "off",
            "ANTIPHON_AUTH__LOGIN_FAILURES": "0",
            **_NO_LIMITS,
            **self._more,
            **kind.settings,
        }
        if self._tls is not None:
            settings |= {
                "ANTIPHON_SERVER__TLS_CERTIFICATE": str(self._tls.certificate),
                "ANTIPHON_SERVER__TLS_KEY": str(self._tls.key),
                "ANTIPHON_SERVER__TLS_CLIENT_CA": str(self._tls.ca),
            }
        return {**kept, **settings}


MakeSuite = Callable[[str, Path, ServerTls | None, Mapping[str, str]], Suite]


class Suites:
    """The suites of a round, each started when a case first needs it, and again when it has gone."""

    def __init__(self, folder: Path, *, tls: bool = False, make: MakeSuite = Suite) -> None:
        self.certificates = certificates.make(folder / "certificates")
        self.tls = self.certificates.known if tls else None
        self._make = make
        self._folder = folder
        self._made: dict[str, Suite] = {}
        self._failed: dict[str, DriverFailed] = {}
        self._provider = Provider()
        self._starting = asyncio.Lock()

    async def of(self, kind: str) -> Suite:
        """The running suite of this kind. Raises DriverFailed, and does so again without another try when it did not start."""
        async with self._starting:
            if kind in self._failed:
                raise self._failed[kind]
            if kind not in self._made:
                self._made[kind] = await self._new(kind)
            suite = self._made[kind]
            if not suite.up:
                try:
                    await suite.start()
                except DriverFailed:
                    # The log's end is told once.
                    self._failed[kind] = DriverFailed(f"the suite {KINDS[kind].says} did not start")
                    raise
            return suite

    async def _new(self, kind: str) -> Suite:
        more: Mapping[str, str] = {}
        if KINDS[kind].provided:
            await self._provider.start()
            more = self._provider.settings()
        return self._make(kind, self._folder / kind, self.tls, more)

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*(suite.stop() for suite in self._made.values()), return_exceptions=True)
        await self._provider.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
