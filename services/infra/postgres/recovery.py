"""Taking over after a suite that was killed: its server ends first, and what it left in the way goes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from services.infra.postgres.binaries import Binaries
from services.infra.postgres.locks import ServerLock
from services.infra.postgres.pidfile import PID_FILE
from services.infra.postgres.record import read_record
from services.kernel.startup import StartupError

_PATIENCE_SECONDS = 45.0
_ROUND_SECONDS = 1.0
_POLL_SECONDS = 0.01


def take_server_lock(home: Path, binaries: Binaries, go_on: Callable[[], None]) -> int:
    """A descriptor that holds the server's lock, once no process of an earlier server is left on the home.

    Servers that a killed suite left behind are ended, strangers never touched. `go_on` is called while
    waiting and may raise. Raises StartupError when a server that is not ours, or one that does not end, is in
    the way.
    """
    lock = ServerLock(home / "server.lock")
    cluster = home / "cluster"
    pid_file = cluster / PID_FILE
    taken = lock.try_take()
    try:
        if taken is None or pid_file.exists():
            end_orphans_of(home, binaries)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while taken is None:
            if time.monotonic() > deadline:
                raise StartupError(
                    f"Processes of an earlier suite still work in {home}.",
                    "End them, then start the suite again.",
                )
            taken = _take_within(lock, _ROUND_SECONDS, go_on)
            if taken is None:
                end_orphans_of(home, binaries)
        # Nobody of ours is alive now: a stranger's pid in this file would only keep PostgreSQL from starting.
        pid_file.unlink(missing_ok=True)
    except BaseException:
        if taken is not None:
            os.close(taken)
        raise
    return taken


def _take_within(lock: ServerLock, seconds: float, go_on: Callable[[], None]) -> int | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        go_on()
        taken = lock.try_take()
        if taken is not None:
            return taken
        time.sleep(_POLL_SECONDS)
    return None


def end_orphans_of(home: Path, binaries: Binaries) -> None:
    """Ends every process of ours that works in the home's cluster. Raises StartupError when that is not
    possible.
    """
    # psutil is needed only after a crash, and the usual start does without it.
    from services.infra.postgres.postmaster import ForeignServerError, end_orphans

    record = read_record(home)
    programs = {binaries.postgres, Path(record.postgres)} if record else {binaries.postgres}
    try:
        end_orphans(home / "cluster", programs)
    except ForeignServerError as error:
        raise StartupError(
            f"A PostgreSQL that the suite did not start (process {error.pid}) runs on {home / 'cluster'}.",
            "Stop it, then start the suite again.",
        ) from error
    except TimeoutError as error:
        raise StartupError(
            f"The PostgreSQL of an earlier suite is in the way: {error}.",
            "End it, then start the suite again.",
        ) from error
