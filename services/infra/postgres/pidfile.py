"""`postmaster.pid`, in which PostgreSQL says how far it has come. Whether it is true is another question."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

PID_FILE = "postmaster.pid"


@dataclass(frozen=True)
class PidFile:
    """What PostgreSQL wrote: its pid, when it started (seconds since 1970), and its state."""

    pid: int
    start_time: float
    status: str

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"


def read_pid_file(cluster: Path) -> PidFile | None:
    """None when there is no such file or it is not a whole one (yet)."""
    with contextlib.suppress(OSError, ValueError):
        lines = (cluster / PID_FILE).read_text(errors="replace").splitlines()
        if len(lines) >= 3:
            return PidFile(int(lines[0]), float(lines[2]), lines[7].strip() if len(lines) > 7 else "")
    return None
