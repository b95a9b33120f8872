"""Builds runners, each once for a state of the checkout."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from conformance.driver.failures import BuildFailed, ToolsMissing
from conformance.driver.languages import ROOT, Language

_BUILT = ROOT / "build" / "conformance"
_LOG_LINES = 40
_CHUNK = 1024 * 1024
# What builds make among the sources, and what no build reads.
_MADE = {"Cargo.lock", "node_modules", "target", "dist", "build", "bin", "obj", "__pycache__", ".git"}

Say = Callable[[str], None]


def built(language: Language, say: Say) -> None:
    """See to it that the language's runner is there; `say` is told when a build begins. Two calls at once take turns.

    Raises ToolsMissing and BuildFailed.
    """
    missing = [tool for tool in language.tools if shutil.which(tool) is None]
    if missing:
        raise ToolsMissing(f"{language.name} needs {', '.join(missing)} on the path")
    if not language.folder.is_dir():
        raise ToolsMissing(f"{language.name} has no runner here: {language.folder} is missing")
    if not language.build:
        return
    _BUILT.mkdir(parents=True, exist_ok=True)
    with _locked(_BUILT / f"{language.name}.lock"):
        ready, state = _BUILT / f"{language.name}.ready", _state(language)
        if ready.exists() and ready.read_text() == state:
            return
        ready.unlink(missing_ok=True)
        say(f"Building the runner of {language.name}; the first time that takes some minutes …")
        for command in language.build:
            _run(language, command)
        ready.write_text(state)


def _state(language: Language) -> str:
    """A digest of all that a build depends on."""
    digest = hashlib.sha256(repr((language.build, language.run)).encode())
    for folder in (ROOT / "protos", language.folder, *(ROOT / each for each in language.sources)):
        for path in sorted(_sources(folder)):
            digest.update(str(path.relative_to(ROOT)).encode())
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each not in _MADE]
        yield from (
            Path(place) / name for name in files if name not in _MADE and (Path(place) / name).is_file()
        )


def _run(language: Language, command: Sequence[str]) -> None:
    done = subprocess.run(
        list(command),
        cwd=language.folder,
        env={**os.environ, **language.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-_LOG_LINES:])
        raise BuildFailed(f"{language.name} could not be built: {' '.join(command)} ended with\n{tail}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
