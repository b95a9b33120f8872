"""A file that is whole as soon as it is there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from services.cli.output import CommandFailed


@contextlib.contextmanager
def replacing(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A file that takes its place once it is written, readable by its owner alone. Nothing is left of one that fails. Raises
    CommandFailed, also when something is there already and `force` is not set."""
    try:
        descriptor, name = _beside(path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            if not force:
                require_absent(path)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise _unwritable(path, error) from None


def require_replaceable(path: Path) -> None:
    """Raises CommandFailed when `replacing` could not even begin there. Nothing is left of the trial."""
    try:
        descriptor, name = _beside(path)
        os.close(descriptor)
        Path(name).unlink()
    except OSError as error:
        raise _unwritable(path, error) from None


def require_absent(path: Path) -> None:
    """Raises CommandFailed when something is there."""
    if os.path.lexists(path):
        raise CommandFailed(f"{path} is there already", "--force replaces it.", reason="FILE_EXISTS")


def _beside(path: Path) -> tuple[int, str]:
    """A new file in the same folder, open, and its name."""
    return tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)


def _unwritable(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"{path} can't be written: {error.strerror}")
