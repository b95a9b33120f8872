"""Certificates in files that are replaced while they are in use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from services.kernel.startup import StartupError
from services.runtime.certificates import NotFitting, UnusableNow

_log = logging.getLogger(__name__)

# What tells a file from the one that was read, following links; a mode that was corrected changes the last.
_Marks = tuple[tuple[int, int, int, int] | None, ...]


class Dated(Protocol):
    """What files hold: for whom it is, and when the first of it is no longer valid."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def expires(self) -> datetime: ...


Held = TypeVar("Held", bound=Dated)


class Replaceable(Generic[Held]):
    """What files hold, read again after they have changed.

    What can't be used leaves in force what was, and is told once in the log, under the name that this has there; so is what expires in
    use. Threads may share it. Raises StartupError for files that can't be used from the beginning.
    """

    def __init__(self, name: str, paths: Sequence[Path], read: Callable[[], Held]) -> None:
        self._name = name
        self._paths = paths
        self._read = read
        self._lock = threading.Lock()
        self._seen: _Marks | None = self._marks()
        self._refused: tuple[_Marks, str] | None = None
        self._expired: Held | None = None
        self._inforce = read()

    def held(self) -> Held:
        """What is in force. Costs a look at each file."""
        with self._lock:
            marks = self._marks()
            if marks != self._seen:
                self._look(marks)
            self._tell_expiry()
            return self._inforce

    def reload(self) -> None:
        """Read the files, whether they look changed or not; what can't be used is told in the log, each time."""
        with self._lock:
            self._refused = None
            self._look(self._marks())

    def _marks(self) -> _Marks:
        return tuple(map(_mark, self._paths))

    def _look(self, marks: _Marks) -> None:
        self._seen = marks
        try:
            found = self._read()
        except StartupError as error:
            if isinstance(error, UnusableNow):
                self._seen = None
            self._tell_refusal(marks, error)
            return
        except Exception:
            # This may run in a thread of gRPC's, which would refuse the connection.
            _log.exception("%s was not replaced", self._name)
            return
        self._refused = None
        if found == self._inforce:
            return
        self._inforce = found
        _log.info(
            "%s was replaced",
            self._name,
            extra={"names": found.names, "expires": found.expires.isoformat()},
        )

    def _tell_refusal(self, marks: _Marks, error: StartupError) -> None:
        if self._refused == (marks, error.message):
            return
        self._refused = marks, error.message
        level = logging.WARNING if isinstance(error, NotFitting) else logging.ERROR
        _log.log(
            level,
            "%s was not replaced",
            self._name,
            extra={"why": error.message, "advice": error.advice},
        )

    def _tell_expiry(self) -> None:
        if self._inforce.expires > datetime.now(UTC) or self._expired is self._inforce:
            return
        self._expired = self._inforce
        _log.error(
            "%s has expired",
            self._name,
            extra={"names": self._inforce.names, "expires": self._inforce.expires.isoformat()},
        )


def _mark(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns
