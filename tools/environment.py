"""Makes .venv and installs the project into it, at the versions of constraints.txt; called by tools/environment.sh.

Standard library only. Two calls at once take turns; what an interrupted call left is thrown away.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
BEGUN = VENV / "install-begun"
EXTRAS = {"run": "server,espeak", "dev": "server,espeak,dev"}
BUILD = ("editables", "hatchling")


def usable() -> bool:
    """Whether .venv was made for this place, by a Python that is still there and new enough, and left whole."""
    try:
        made_here = f"{VENV}\n" in (VENV / "pyvenv.cfg").read_text(encoding="utf-8")
        probe = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
        works = subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
    return made_here and works and not BEGUN.exists()


def pip(lock: int, *arguments: str) -> None:
    """Run pip in .venv; a failure ends the program. It holds the lock too, should this program be killed."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    environment = {**os.environ, "PIP_USER": "0"}
    if subprocess.run(command, cwd=ROOT, env=environment, pass_fds=[lock], check=False).returncode:
        BEGUN.unlink()  # A failed pip has put back what it took away; only a killed one leaves a ruin.
        sys.exit(
            "The packages could not be installed; the lines above say why. The same command tries again."
        )


def prepare(lock: int, profile: str, state: str) -> None:
    ready = VENV / f"ready-{profile}"
    # Another call may have finished meanwhile; `dev` holds all of `run`.
    for done in (ready, VENV / "ready-dev"):
        if done.exists() and done.read_text(encoding="utf-8") == state:
            return
    print("Preparing .venv; the first time takes a minute or two …", file=sys.stderr, flush=True)
    if not usable():
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.mkdir()
        BEGUN.touch()
        if subprocess.run([sys.executable, "-m", "venv", VENV], check=False).returncode:
            sys.exit(f"{sys.executable} could not make a virtual environment in {VENV}.")
    BEGUN.touch()
    for stale in VENV.glob("ready-*"):
        stale.unlink()
    pip(lock, "-c", "constraints.txt", *BUILD)
    pip(lock, "-c", "constraints.txt", "--no-build-isolation", "-e", f".[{EXTRAS[profile]}]")
    ready.write_text(state, encoding="utf-8")
    BEGUN.unlink()


def main() -> None:
    try:
        with (ROOT / ".venv.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another call is preparing .venv; waiting for it …", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            prepare(lock.fileno(), *sys.argv[1:])
    except PermissionError as error:
        sys.exit(f"{error.filename} belongs to another user; use a clone of your own.")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
