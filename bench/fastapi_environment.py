"""FastAPI in a virtual environment of its own, in build/, made when it is first wanted."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.processes import ROOT

REQUIREMENTS = ("fastapi==0.*", "uvicorn==0.*", "uvloop", "httptools", "pyjwt[crypto]==2.*")
_SECONDS = 300


class FastApiMissing(Exception):
    """It could not be installed; says why, in a line."""


def fastapi_python(say: Callable[[str], None]) -> Path:
    """The environment's Python. Raises FastApiMissing."""
    digest = hashlib.sha256(" ".join((sys.version, *REQUIREMENTS)).encode()).hexdigest()[:12]
    folder = ROOT / "build" / f"bench-fastapi-{digest}"
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        say("Installing FastAPI into an environment of its own …")
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS],
        ):
            _run(command)
        ready.touch()
    return python


def versions(python: Path) -> str:
    """Names and versions of what was installed for it."""
    code = "from importlib.metadata import version as v; print(*(f'{n} {v(n)}' for n in ('fastapi', 'uvicorn', 'pyjwt')), sep=', ')"
    return subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FastApiMissing(f"FastAPI can't be installed: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise FastApiMissing(f"FastAPI can't be installed: {said[-1] if said else 'pip failed'}")
