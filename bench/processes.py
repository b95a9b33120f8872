"""The processes of a benchmark: started on their cores, awaited, and ended by their own ids."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
LIFE_SECONDS = 1800
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_LOG_LINES = 20
# What a program may need of the environment; the settings of whoever measures stay out.
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH")


class BenchmarkFailed(Exception):
    """Something did not work, so that its figures would mean nothing."""


class Process:
    """A program that runs; what it says goes to a file."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._usage = psutil.Process(process.pid)

    def cpu_seconds(self) -> float:
        """Processor time that it has taken so far."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def worker_seconds(self) -> float:
        """Processor time that the processes have taken so far which it has started and which run."""
        return sum(sum(child.cpu_times()[:2]) for child in self._usage.children())

    def peak_mebibytes(self) -> float:
        """The most memory that it has had; where the system does not say, what it has now."""
        return _peak(self._usage)

    def worker_peaks(self) -> list[float]:
        """The same of each process that it has started and that runs."""
        return [_peak(child) for child in self._usage.children()]

    async def said(self, pattern: str) -> str:
        """The first group of `pattern`, once it is found in what the program says. Raises BenchmarkFailed when it ends or takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            text = self._log.read_text(encoding="utf-8", errors="replace")
            found = re.search(pattern, text)
            if found:
                return found[1]
            if self._process.poll() is not None or time.monotonic() > deadline:
                end = "\n".join(text.splitlines()[-_LOG_LINES:])
                raise BenchmarkFailed(f"{self.name} did not start; the end of what it said:\n{end}")
            await asyncio.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask it to end; kill it when it does not."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def running(
    name: str,
    command: Sequence[str],
    folder: Path,
    cores: Sequence[int],
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Process]:
    """A program until the block ends, or for half an hour. `command` begins with the path of an executable."""
    process = _start(name, command, folder, cores, environment or {})
    try:
        yield process
    finally:
        await asyncio.to_thread(process.stop)


def _start(
    name: str, command: Sequence[str], folder: Path, cores: Sequence[int], environment: Mapping[str, str]
) -> Process:
    log = folder / f"{name}.log"
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    pinned = [sys.executable, str(ROOT / "bench" / "pinned.py"), ",".join(map(str, cores)), str(LIFE_SECONDS)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*pinned, *command],
            cwd=folder,
            env={**kept, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Process(name, process, log)


def _peak(process: psutil.Process) -> float:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        status = ""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else float(process.memory_info().rss) / 2**20


def module(name: str, *arguments: str) -> list[str]:
    """The command of a module of this project."""
    return [sys.executable, "-m", name, *arguments]
