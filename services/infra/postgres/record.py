"""What a running suite leaves on disk about its server: for an operator's commands beside it, and for the
start after a crash.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

_NAME = "running.json"


@dataclass(frozen=True)
class RunningRecord:
    """The URL of the database (with its password), the `postgres` program that runs, and the suite's pid."""

    url: str
    postgres: str
    suite_pid: int

    def write(self, home: Path) -> None:
        draft = home / f"{_NAME}.new"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file)
        draft.replace(home / _NAME)


def read_record(home: Path) -> RunningRecord | None:
    """None when no suite has written one, or it is unreadable."""
    try:
        found = json.loads((home / _NAME).read_text())
        return RunningRecord(str(found["url"]), str(found["postgres"]), int(found["suite_pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_record(home: Path) -> None:
    (home / _NAME).unlink(missing_ok=True)
