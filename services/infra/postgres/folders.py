"""Private folders: the server's home in the data directory, and the short-lived folder of its socket."""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from services.kernel.startup import StartupError

_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # macOS has room for 103 bytes and a terminator, Linux for 107


def private_home(path: Path) -> Path:
    """Makes the folder, or checks that it is a real one, our own; then closes it to everybody else.

    Raises StartupError for a folder that somebody else owns, or that is no folder.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
            raise _not_ours(path, found)
        path.chmod(0o700)
    except OSError as error:
        raise StartupError(
            f"The data directory {path} cannot be used: {error.strerror}.",
            "Choose another one with --data-dir or ANTIPHON_DATA_DIR, or make this one writable for the user that runs the suite.",
        ) from error
    return path.resolve()


def _not_ours(path: Path, found: os.stat_result) -> StartupError:
    if not stat.S_ISDIR(found.st_mode):
        return StartupError(
            f"{path} is not a folder.", "Move it away, or choose another data directory with --data-dir."
        )
    return StartupError(
        f"The database in {path} belongs to the user with number {found.st_uid}, and the suite runs as {os.geteuid()}.",
        "Run the suite as that user, or choose another data directory with --data-dir.",
    )


def make_socket_folder(home: Path) -> Path:
    """A new folder of mode 0700 on a path short enough for a socket, named after the home it serves.

    It is always new: a folder with a fixed name in a place that all users share could be another user's.
    """
    for base in _bases():
        with contextlib.suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix=_prefix(home), dir=base))
            if len(os.fsencode(folder / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
                return folder
            folder.rmdir()
    raise StartupError(
        "There is no place for PostgreSQL's socket.",
        "It needs a folder with a short path that the user may write to: set TMPDIR to one.",
    )


def sweep_socket_folders(home: Path) -> None:
    """Removes what killed servers of this home left behind. Call only while no server of this home can
    run.
    """
    for base in _bases():
        for folder in base.glob(f"{_prefix(home)}*"):
            remove_socket_folder(folder)


def remove_socket_folder(folder: Path) -> None:
    """Removes a socket folder and the socket in it, provided that it is a real folder of our own."""
    with contextlib.suppress(OSError):
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            for leftover in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
                (folder / leftover).unlink(missing_ok=True)
            folder.rmdir()


def _prefix(home: Path) -> str:
    return f"antiphon-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}-"


def _bases() -> list[Path]:
    named = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]  # noqa: S108 (the folder made there is always new and our own)
    return [Path(name) for name in dict.fromkeys(named) if name and _is_safe(Path(name))]


def _is_safe(base: Path) -> bool:
    """Whether nobody else can rename or replace what we make in it."""
    try:
        found = base.stat()
    except OSError:
        return False
    others_write = bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return (
        base.is_absolute()
        and found.st_uid in (0, os.geteuid())
        and (not others_write or bool(found.st_mode & stat.S_ISVTX))
        and os.access(base, os.W_OK | os.X_OK)
    )
