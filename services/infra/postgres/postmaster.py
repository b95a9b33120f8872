"""Who stands behind `postmaster.pid`, and how an orphaned server of ours is ended.

A pid in a file proves nothing: after a crash the number may belong to anybody. A process is believed to be
ours only when it runs our `postgres` program under our user, works inside of our cluster's folder and is not
younger than the file.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT

import psutil

from services.infra.postgres.pidfile import read_pid_file

_CLOCK_SLACK_SECONDS = 10.0
_POLL_SECONDS = 0.02
_FAST_SECONDS = 10.0
_IMMEDIATE_SECONDS = 5.0
_KILL_SECONDS = 5.0


class ForeignServerError(Exception):
    """Some other installation's PostgreSQL runs on the cluster; it is not ours to end."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid}")
        self.pid = pid


def find_postmaster(cluster: Path, programs: Iterable[Path]) -> psutil.Process | None:
    """The process that `postmaster.pid` names if it is a postmaster of ours, None when it is gone or a
    stranger.

    `programs` are the `postgres` programs that we have run on this cluster. Raises ForeignServerError when a
    PostgreSQL that we did not start runs on the cluster.
    """
    written = read_pid_file(cluster)
    if written is None or written.pid <= 0 or written.pid == os.getpid():
        return None
    # A process that we may not even look at belongs to somebody else.
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(written.pid)
        if (
            not _works_in(process, cluster)
            or process.create_time() > written.start_time + _CLOCK_SLACK_SECONDS
        ):
            return None
        if _runs(process, programs):
            return process
        if process.name() == "postgres":
            raise ForeignServerError(written.pid)
    return None


def end_orphans(cluster: Path, programs: Iterable[Path]) -> None:
    """Ends a server that its suite left behind: politely, then firmly. Returns when it is gone.

    Raises ForeignServerError as `find_postmaster` does, and TimeoutError when a process does not go even when
    killed.
    """
    programs = tuple(programs)
    postmaster = find_postmaster(cluster, programs)
    if postmaster is not None:
        _signal(postmaster, SIGINT)
        deadline = time.monotonic() + _FAST_SECONDS
        while _is_alive(postmaster) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    for number, seconds in ((SIGQUIT, _IMMEDIATE_SECONDS), (SIGKILL, _KILL_SECONDS)):
        for process in _family(cluster, programs):
            _signal(process, number)
        deadline = time.monotonic() + seconds
        while _family(cluster, programs):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise TimeoutError(f"a process that works in {cluster} does not end")


def _family(cluster: Path, programs: tuple[Path, ...]) -> list[psutil.Process]:
    """Every process of our PostgreSQL that works in the cluster: the postmaster and its children, orphans
    too.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _works_in(process, cluster) and _runs(process, programs):
                found.append(process)
    return found


def _signal(process: psutil.Process, number: int) -> None:
    # psutil compares the creation time first, so that the signal does not reach a successor with the same
    # number.
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _works_in(process: psutil.Process, cluster: Path) -> bool:
    if process.uids().real != os.geteuid():
        return False
    try:
        return os.path.samefile(process.cwd(), cluster)
    except OSError:
        return False


def _runs(process: psutil.Process, programs: Iterable[Path]) -> bool:
    # A program that was replaced by an upgrade while it ran is shown with this ending.
    return Path(process.exe().removesuffix(" (deleted)")) in set(programs)
