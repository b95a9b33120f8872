"""How PostgreSQL's programs are run: so that they end with their watchdog, and for a user whom they refuse
too.

They refuse root, and a user without an entry in the password file (a container run under a bare number). Both
are served by a user namespace, in which the same user carries an ordinary, known number: no other account is
needed and no permission changes, since outside of the namespace nothing is different.
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from services.infra.postgres.binaries import Binaries
from services.kernel.startup import StartupError

_OVERFLOW_ID = 65534  # what foreign owners look like inside of a namespace
_PROBE = 'test -x "$1" && test -w "$2"'


def command_prefix(binaries: Binaries, home: Path) -> list[str]:
    """What to put before a command: perhaps the user namespace, and, on Linux, the wish to end with its
    parent.

    The latter is for the day when somebody kills the watchdog and the suite at once; elsewhere than on Linux
    the orphan of such a day is ended by the next start.

    Raises StartupError, with a way out, when a namespace is needed and the system forbids it.
    """
    return [*_namespace(binaries, home), *_ending_with_parent()]


def _ending_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    # Old versions lack the option. The signal asks PostgreSQL for a fast shutdown.
    prefix = [setpriv, "--pdeathsig", "INT", "--"] if setpriv else []
    return prefix if prefix and _run([*prefix, "/bin/true"]).returncode == 0 else []


def _namespace(binaries: Binaries, home: Path) -> list[str]:
    user = os.geteuid()
    if user != 0 and _is_known(user):
        return []
    who = "root" if user == 0 else f"the user number {user}, which has no name on this system"
    unshare = shutil.which("unshare")
    if unshare is None:
        raise _refusal(who, "the program `unshare` (package util-linux) is not there")
    number = _ordinary_id()
    prefix = [unshare, "--user", f"--map-user={number}", f"--map-group={number}", "--"]
    tried = _run([*prefix, "/bin/true"])
    if tried.returncode != 0:
        raise _refusal(who, f"the system forbids user namespaces ({tried.stderr.strip()})")
    if _run([*prefix, "/bin/sh", "-c", _PROBE, "sh", str(binaries.postgres), str(home)]).returncode != 0:
        raise _refusal(
            who, f"a folder above {home} or {binaries.folder} belongs to another user and is closed to it"
        )
    return prefix


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)


def _is_known(user: int) -> bool:
    try:
        return bool(pwd.getpwuid(user))
    except KeyError:
        return False


def _ordinary_id() -> int:
    known = [entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid not in (0, _OVERFLOW_ID)]
    return min(known, default=_OVERFLOW_ID)


def _refusal(who: str, reason: str) -> StartupError:
    return StartupError(
        f"PostgreSQL does not run as {who}, and a user namespace does not help here: {reason}.",
        "Run the suite as an ordinary user, on a data directory of that user, or set DATABASE_URL to a PostgreSQL of your own.",
    )
