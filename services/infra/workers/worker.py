"""The loop inside of a worker process: jobs come in at its standard input, answers go out at its standard output.

Both are one socket, whose other end the server holds. When that closes, because the server let the worker go or died, the worker ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from services.infra.workers.errors import JobRefused
from services.infra.workers.frames import PREFIX, Answer, Kind, Prefix, header_of, packed


class Inbox:
    """What a job is given while it runs."""

    def __init__(self, server: socket.socket, step_seconds: int) -> None:
        self._server = server
        self._step_seconds = step_seconds

    def next(self) -> tuple[dict[str, Any], bytes]:
        """Tell the server that more is wanted, and wait for its header and body; the wait does not count as work."""
        signal.alarm(0)
        _send(self._server, Kind.WANTS, {})
        try:
            kind, header, body = _read(self._server)
        except EOFError as error:
            raise ConnectionResetError from error
        if kind is not Kind.MORE:
            raise ConnectionResetError
        signal.alarm(self._step_seconds)
        return header, body


Handler = Callable[[Mapping[str, Any], bytes, Inbox], Iterable[Answer]]

_PR_SET_PDEATHSIG = 1


def run(handler: Handler) -> None:
    """Do jobs until the server is gone. `handler` is given a job's header and body, and makes its answers one after the other; between
    two of them it may ask the inbox for more. It raises JobRefused for what can't be done. Whatever else it raises is a defect, which
    ends the job but not the worker; a MemoryError ends that too.
    """
    # The server decides when its workers end; a signal that a whole terminal or container is sent would end them under its jobs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with _taken_over() as server, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        started = _read(server)
        _settle(started[1])
        step_seconds = math.ceil(started[1]["step_seconds"]) + 1
        _send(server, Kind.READY, {})
        while True:
            _, header, body = _read(server)
            _do(server, handler, header, body, step_seconds)


def _taken_over() -> socket.socket:
    """The server's socket, out of reach of whoever prints: that goes to the standard error output, and so to the log."""
    server = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return server


def _settle(wishes: Mapping[str, Any]) -> None:
    """Keep to the limits that the server sets."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != wishes["parent"]:
            raise EOFError
    os.nice(wishes["nice"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if wishes["memory_bytes"]:
        # Where the system has no such limit, there is none.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (wishes["memory_bytes"], wishes["memory_bytes"]))


def _do(
    server: socket.socket, handler: Handler, header: Mapping[str, Any], body: bytes, step_seconds: int
) -> None:
    try:
        # The server watches the time as well; the alarm is for a worker whose server is gone. It does not count
        # how long answers wait to be taken.
        signal.alarm(step_seconds)
        for answer in handler(header, body, Inbox(server, step_seconds)):
            signal.alarm(0)
            _send(server, Kind.ANSWER, answer.header, answer.body)
            signal.alarm(step_seconds)
        signal.alarm(0)
    except JobRefused as refusal:
        signal.alarm(0)
        _send(server, Kind.REFUSED, {"reason": refusal.reason, "message": refusal.message})
    except (MemoryError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception:
        signal.alarm(0)
        traceback.print_exc()
        _send(server, Kind.FAILED, {})
    else:
        _send(server, Kind.DONE, {})


def _send(server: socket.socket, kind: Kind, header: Mapping[str, Any], body: bytes = b"") -> None:
    server.sendall(packed(kind, header, len(body)))
    if body:
        server.sendall(body)


def _read(server: socket.socket) -> tuple[Kind, dict[str, Any], bytes]:
    prefix = Prefix.unpack(_exactly(server, PREFIX.size))
    header = header_of(_exactly(server, prefix.header_bytes))
    return prefix.kind, header, bytes(_exactly(server, prefix.body_bytes))


def _exactly(server: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        received = server.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return data
