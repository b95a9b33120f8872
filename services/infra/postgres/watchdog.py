"""A small process between the suite and PostgreSQL, so that neither outlives its purpose.

It runs alone as `python -I -S watchdog.py …` and uses the standard library only. It starts the command it is
given in a session of its own, out of reach of a terminal's Ctrl-C, and reads a pipe whose other end only the
suite holds. When the pipe closes, because the suite stopped or was killed, it sends the command the signals
it was told, waits for its end, and goes. It also looks whether its parent is still the suite, since another
process that the suite forked may hold the pipe open.

Arguments: parent pid, log file, most bytes of the log, signals as `SIGINT:10,SIGQUIT:5` (with the seconds
each is given), file for the command's input, folder to remove at the end or "", then the command. On its
output it reports `started <pid>` and `ended <wait status>`, a line each.
"""

import contextlib
import os
import select
import signal
import sys
import time

_LIFELINE = 0
_REPORT = 1
_TICK_SECONDS = 1.0
_LAST_WAIT_SECONDS = 5.0
_CANNOT_RUN = 127 << 8  # the wait status of a shell that does not find its command


def report(line: str) -> None:
    # The suite may be gone already, and then nobody needs the line.
    with contextlib.suppress(OSError):
        os.write(_REPORT, f"{line}\n".encode())


def spawn(command: list[str], log: str, source: str) -> int:
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, source, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, appending, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD],
        setsigmask=[],
    )


def keep_bounded(log: str, limit: int) -> None:
    """Keeps the newer half of a log that has grown past its limit; the writer appends, so it goes on at
    the new end.
    """
    with contextlib.suppress(OSError):
        size = os.stat(log).st_size
        if size <= limit:
            return
        with open(log, "r+b") as file:
            file.seek(size - limit // 2)
            newer = file.read().partition(b"\n")[2]
            file.seek(0)
            file.truncate()
            file.write(newer)


class Child:
    """The command, as the process that started it sees it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None

    def has_ended(self) -> bool:
        if self.status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if ended else None
        return self.status is not None

    def ends_within(self, seconds: float, wakeup: int) -> bool:
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            wait_for([wakeup], min(left, _TICK_SECONDS))
        return True

    def stop(self, steps: list[tuple[signal.Signals, float]], wakeup: int) -> None:
        for number, seconds in [*steps, (signal.SIGKILL, _LAST_WAIT_SECONDS)]:
            if self.has_ended():
                return
            # An unreaped child keeps its pid, so the signal cannot reach anybody else.
            os.kill(self.pid, number)
            if self.ends_within(seconds, wakeup):
                return


def wait_for(descriptors: list[int], seconds: float) -> list[int]:
    ready = select.select(descriptors, [], [], seconds)[0]
    for descriptor in ready:
        if descriptor != _LIFELINE:
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, 512)
    return ready


def suite_is_gone(parent: int, ready: list[int]) -> bool:
    if os.getppid() != parent:
        return True
    return _LIFELINE in ready and not os.read(_LIFELINE, 512)


def main(arguments: list[str]) -> None:
    parent, log, limit, signals, source, folder, *command = arguments
    steps = [
        (signal.Signals[name], float(wait)) for name, wait in (step.split(":") for step in signals.split(","))
    ]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    wakeup, woken = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    if os.getppid() != int(parent):
        return
    try:
        child = Child(spawn(command, log, source))
    except OSError as error:
        with contextlib.suppress(OSError), open(log, "a") as file:
            file.write(f"{command[0]} cannot be run: {error}\n")
        report(f"ended {_CANNOT_RUN}")
        return
    report(f"started {child.pid}")
    while not child.has_ended():
        ready = wait_for([_LIFELINE, wakeup], _TICK_SECONDS)
        if suite_is_gone(int(parent), ready):
            child.stop(steps, wakeup)
            break
        keep_bounded(log, int(limit))
    if folder:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    report(f"ended {child.status}")


if __name__ == "__main__":
    main(sys.argv[1:])
