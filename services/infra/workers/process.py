"""One worker process, seen from the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.infra.workers.errors import JobFailed, JobRefused, JobTimedOut, WorkerDied
from services.infra.workers.frames import (
    PREFIX,
    Answer,
    BrokenFrame,
    Kind,
    Prefix,
    header_of,
    packed,
)

_log = logging.getLogger(__name__)
T = TypeVar("T")

# A worker sees nothing else of the server's environment, and so no secrets.
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
_LOGGED_PIECES = 64
_PIECE_BYTES = 4096
_LEAVE_SECONDS = 2.0
_REAP_SECONDS = 5.0


def module(name: str) -> tuple[str, ...]:
    """The command of a worker whose program is this module; it calls `services.infra.workers.worker.run`."""
    return (sys.executable, "-P", "-m", name)


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker runs, and what it may take: `job_seconds` for each job, `step_seconds` until a job's next answer (None: as long as the
    job), `start_seconds` until it is ready, `memory_bytes` of addresses (None: as it likes), `nice` steps behind the server when both
    want to compute."""

    command: Sequence[str]
    job_seconds: float
    step_seconds: float | None = None
    start_seconds: float = 30.0
    memory_bytes: int | None = None
    nice: int = 5
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def longest_step(self) -> float:
        """The most seconds until a job's next answer."""
        return self.job_seconds if self.step_seconds is None else min(self.step_seconds, self.job_seconds)


class Worker:
    """A process that does one job at a time. `at_rest` says that it waits for one; after a failure other than JobRefused and JobFailed it
    never does again. `wants_more` says that its job waits for `more`, and can't give an answer before."""

    def __init__(self, program: Program) -> None:
        """Starts a process that `settle` makes ready; takes a millisecond or two. Raises WorkerDied when there can't be one."""
        self.at_rest = False
        self.wants_more = False
        self._watched = False
        self._program = program
        self._seconds_left = 0.0
        # Not by the event loop: uvloop's processes inherit descriptors of the server's.
        self._connection, theirs = _pair()
        self._words, their_words = _pair()
        with theirs, their_words:
            try:
                self._process = subprocess.Popen(
                    program.command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=their_words.fileno(),
                    env=_environment(program.environment),
                    # A terminal's Ctrl-C is for the server alone.
                    start_new_session=True,
                )
            except OSError as error:
                self._connection.close()
                self._words.close()
                raise WorkerDied(f"no worker can be started: {error.strerror}") from error
        self._listening = asyncio.create_task(self._listen(), name=f"worker-{self.pid}-log")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be given a job; one that died while it was at rest can't."""
        if not self.at_rest:
            return False
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        # It ended, or speaks unasked.
        return False

    async def settle(self) -> None:
        """Have it take its limits and wait for jobs. Raises WorkerDied when it is not ready in time."""
        program = self._program
        wishes = {
            "parent": os.getpid(),
            "memory_bytes": program.memory_bytes,
            "nice": program.nice,
            "step_seconds": program.longest_step,
        }
        self._seconds_left = program.start_seconds
        try:
            await self._timed(self._send(packed(Kind.START, wishes), b""), program.start_seconds)
            kind, _, _ = await self._timed(self._read(), program.start_seconds)
        except JobTimedOut as error:
            raise WorkerDied("a worker was not ready in time") from error
        if kind is not Kind.READY:
            raise WorkerDied("a worker broke the protocol")
        self.at_rest = True

    async def begin(self, header: Mapping[str, Any], body: bytes) -> None:
        """Give it a job. Raises WorkerDied and JobTimedOut, ValueError for one that is too long."""
        frame = packed(Kind.JOB, header, len(body))
        self._unwatch()
        self.at_rest = False
        self.wants_more = False
        self._seconds_left = self._program.job_seconds
        await self._timed(self._send(frame, body), self._program.longest_step)

    async def more(self, header: Mapping[str, Any], body: bytes) -> None:
        """Give its job what that waits for. Raises WorkerDied and JobTimedOut, ValueError for what is too long."""
        frame = packed(Kind.MORE, header, len(body))
        self.wants_more = False
        await self._timed(self._send(frame, body), self._program.longest_step)

    async def answer(self) -> Answer | None:
        """What the job gives next; None when it is done, or wants more. Time runs while the worker is waited for, and not between two calls.
        Raises WorkerDied, JobTimedOut, JobRefused and JobFailed."""
        kind, header, body = await self._timed(self._read(), self._program.longest_step)
        if kind is Kind.ANSWER:
            return Answer(header, body)
        if kind is Kind.WANTS:
            self.wants_more = True
            return None
        if kind not in (Kind.DONE, Kind.REFUSED, Kind.FAILED):
            raise WorkerDied("a worker broke the protocol")
        self.at_rest = True
        if kind is Kind.REFUSED:
            raise JobRefused(header["reason"], header["message"])
        if kind is Kind.FAILED:
            raise JobFailed("a worker's program failed; its log says how")
        return None

    def watch(self, ended: Callable[[], None]) -> None:
        """Call this when it ends, or speaks unasked, while it is at rest; until it is given a job."""
        asyncio.get_running_loop().add_reader(self._connection, ended)
        self._watched = True

    def _unwatch(self) -> None:
        if self._watched:
            asyncio.get_running_loop().remove_reader(self._connection)
            self._watched = False

    def kill(self) -> None:
        """End it now, whatever it does; `ended` waits for that."""
        self._unwatch()
        self.at_rest = False
        self._process.kill()
        # Whoever waits for an answer wakes up at once; to close what is waited for would leave that one waiting.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def dismiss(self) -> None:
        """Let it end by itself, when it is at rest; `ended` waits for that."""
        self._unwatch()
        self.at_rest = False
        self._connection.close()

    async def ended(self) -> None:
        """It has ended, by itself or by force, and its last words are in the log."""
        if not await asyncio.to_thread(self._reaped, _LEAVE_SECONDS):
            self._process.kill()
            if not await asyncio.to_thread(self._reaped, _REAP_SECONDS):
                _log.error("The worker %s does not end although it was killed", self.pid)
        # A process that it started may hold its error output open.
        _, late = await asyncio.wait([self._listening], timeout=_LEAVE_SECONDS)
        for task in late:
            task.cancel()
        self._connection.close()
        self._words.close()

    def _reaped(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    async def _timed(self, work: Coroutine[Any, Any, T], most: float) -> T:
        loop = asyncio.get_running_loop()
        since = loop.time()
        try:
            async with asyncio.timeout(max(0.0, min(self._seconds_left, most))):
                return await work
        except TimeoutError as error:
            raise JobTimedOut("a worker took too long") from error
        except (EOFError, BrokenFrame, OSError) as error:
            raise WorkerDied("a worker ended before its job was done") from error
        finally:
            self._seconds_left -= loop.time() - since

    async def _send(self, frame: bytes, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._connection, frame)
        if body:
            await loop.sock_sendall(self._connection, body)

    async def _read(self) -> tuple[Kind, dict[str, Any], bytes]:
        prefix = Prefix.unpack(await self._exactly(PREFIX.size))
        header = header_of(await self._exactly(prefix.header_bytes))
        return prefix.kind, header, bytes(await self._exactly(prefix.body_bytes))

    async def _exactly(self, count: int) -> bytearray:
        loop = asyncio.get_running_loop()
        data = bytearray(count)
        view = memoryview(data)
        while view:
            received = await loop.sock_recv_into(self._connection, view)
            if not received:
                raise EOFError
            view = view[received:]
        return data

    async def _listen(self) -> None:
        """What the process prints goes to the log, the first of it; the rest is read and dropped, so that it never waits for us."""
        loop = asyncio.get_running_loop()
        logged = 0
        while piece := await loop.sock_recv(self._words, _PIECE_BYTES):
            logged += 1
            if logged <= _LOGGED_PIECES:
                _log.warning("The worker %s says: %s", self.pid, piece.decode(errors="replace").strip())
            if logged == _LOGGED_PIECES:
                _log.warning("What the worker %s says from now on is not logged", self.pid)


def _pair() -> tuple[socket.socket, socket.socket]:
    """A connection: our end, which does not block, and a worker's."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, **own}
