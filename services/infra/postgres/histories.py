"""Each service's migrations as files: which revisions the code knows, without importing Alembic to ask."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from services.kernel.startup import StartupError

_SERVICES = Path(__file__).parents[2]
_REVISION_FILE = re.compile(r"(\d{4})_\w+\.py")
_SCHEMA = re.compile(r"[a-z][a-z0-9_]*")


class State(Enum):
    """Where a database's schema stands, seen from the code."""

    EMPTY = "empty"
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD = "ahead"


@dataclass(frozen=True)
class History:
    """The migrations of one service, oldest first. Its schema in the database is named after it."""

    service: str
    folder: Path
    revisions: tuple[str, ...]

    @property
    def head(self) -> str:
        return self.revisions[-1]

    def state_of(self, revision: str | None) -> State:
        if revision is None:
            return State.EMPTY
        if revision not in self.revisions:
            return State.AHEAD
        return State.CURRENT if revision == self.head else State.BEHIND


@dataclass(frozen=True)
class SchemaStatus:
    """A service's schema in a database: the revision it has (None: no schema yet) and the one the code
    wants.
    """

    service: str
    revision: str | None
    head: str
    state: State

    def __str__(self) -> str:
        return f"{self.service}: {self.revision or 'nothing'} in the database, {self.head} in the code ({self.state.value})"


def read_history(service: str, root: Path = _SERVICES) -> History:
    """The files `root/<service>/migrations/NNNN_<what>.py`, numbered from 0001 without a gap.

    Raises ValueError when there are none or the numbers are not in line: a defect of the code.
    """
    if not _SCHEMA.fullmatch(service):
        raise ValueError(f"{service!r} cannot name a schema")
    folder = root / service / "migrations"
    files = folder.iterdir() if folder.is_dir() else ()
    found = sorted(match[1] for file in files if (match := _REVISION_FILE.fullmatch(file.name)))
    if not found or found != [f"{number:04}" for number in range(1, len(found) + 1)]:
        raise ValueError(f"the migrations in {folder} must be numbered from 0001 on, without a gap: {found}")
    return History(service, folder, tuple(found))


def services_with_migrations(root: Path = _SERVICES) -> tuple[str, ...]:
    """The services that have a schema, by name."""
    return tuple(
        sorted(folder.parent.name for folder in root.glob("*/migrations") if any(folder.glob("0001_*.py")))
    )


def compare(histories: Iterable[History], revisions: dict[str, str]) -> list[SchemaStatus]:
    """The status of each history, given what the database says by service."""
    statuses = []
    for history in histories:
        revision = revisions.get(history.service)
        statuses.append(SchemaStatus(history.service, revision, history.head, history.state_of(revision)))
    return statuses


def refuse_ahead(statuses: Iterable[SchemaStatus]) -> None:
    """Raises StartupError when a newer version of the code has migrated the database already."""
    ahead = [status for status in statuses if status.state is State.AHEAD]
    if ahead:
        raise StartupError(
            f"The database was migrated by a newer version: {'; '.join(map(str, ahead))}.",
            "Install that version, or restore the database from a backup made before it was migrated.",
        )


def require_current(statuses: Iterable[SchemaStatus]) -> None:
    """Raises StartupError, saying what to run, unless every schema is as the code wants it."""
    statuses = list(statuses)
    refuse_ahead(statuses)
    waiting = [status for status in statuses if status.state is not State.CURRENT]
    if waiting:
        raise StartupError(
            f"The database waits for migrations: {'; '.join(map(str, waiting))}.",
            "Run `antiphon migrate` with the same DATABASE_URL, then start again.",
        )
