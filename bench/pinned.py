"""Becomes another program, kept to some cores and ended by the system after a while: `python -m bench.pinned CORES SECONDS COMMAND…`.

Standard library only: it runs in the environments of peers, too.
"""

from __future__ import annotations

import os
import signal
import sys


def main(cores: str, seconds: str, *command: str) -> None:
    """`cores` are numbers with commas between them; empty for any."""
    if cores:
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    # The alarm outlives exec, so that no program is left over, whatever becomes of the one that started it.
    signal.alarm(int(seconds))
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted.


if __name__ == "__main__":
    main(*sys.argv[1:])
