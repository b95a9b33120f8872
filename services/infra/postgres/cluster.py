"""The cluster: PostgreSQL's files, made once in a folder of another name and then renamed, so that half a
cluster never counts.

Nobody can log in as its superuser. The suite has a role of its own, `antiphon`, which owns the database of
the same name; its password is random and lies, mode 0600, inside of the cluster.
"""

import os
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from services.infra.postgres.binaries import Binaries
from services.infra.postgres.supervised import Command
from services.kernel.startup import StartupError

ROLE = "antiphon"
_PASSWORD_FILE = "antiphon.password"
_MAKING = "making-"

_HOST_RULES = f"""\
# TYPE  DATABASE  USER  METHOD
local   all       {ROLE}  scram-sha-256
local   all       all   reject
"""

# The password has 256 random bits, so stretching it protects nothing, and a connection costs 4 ms less
# without.
_ROLE_SCRIPT = """\
SET scram_iterations = 1
CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{password}'
GRANT pg_monitor, pg_signal_backend TO {role}
CREATE DATABASE {role} OWNER {role}
"""

# On Linux sync(2) returns when everything is on disk. One call takes a fraction of what a thousand files take
# one by one while other programs keep the disk busy.
_SYNC_WAITS = sys.platform == "linux"

Run = Callable[[Command], bool]


def sweep_half_made(home: Path) -> None:
    for leftover in home.glob(f"{_MAKING}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def make_cluster(
    home: Path, binaries: Binaries, prefix: list[str], log: Path, run: Run, *, durable: bool
) -> None:
    """Makes `home/cluster`. `run` runs a command to its end and says whether it succeeded.

    Raises StartupError, with the end of the log, when a step fails; nothing is left behind then.
    """
    making = home / f"{_MAKING}{secrets.token_hex(4)}"
    making.mkdir(mode=0o700)
    try:
        cluster = making / "cluster"
        password = secrets.token_urlsafe(32)
        at_once = durable and not _SYNC_WAITS
        if not any(run(Command([*prefix, *words], log)) for words in _initdb(binaries, cluster, at_once)):
            raise StartupError("PostgreSQL could not make its data folder.", advice_from(log))
        (cluster / "pg_hba.conf").unlink()
        _write_private(cluster / "pg_hba.conf", _HOST_RULES)
        script = making / "role.sql"
        _write_private(script, _ROLE_SCRIPT.format(role=ROLE, password=password))
        single = [
            str(binaries.postgres),
            "--single",
            "-D",
            str(cluster),
            "-c",
            f"fsync={_switch(at_once)}",
            "postgres",
        ]
        # A failed statement does not fail the program, so the outcome is looked up: a database is a folder
        # below base/.
        before = _databases(cluster)
        if not run(Command([*prefix, *single], log, source=script)) or _databases(cluster) == before:
            raise StartupError("PostgreSQL could not make the suite's database.", advice_from(log))
        _write_private(cluster / _PASSWORD_FILE, password)
        if durable and _SYNC_WAITS:
            os.sync()
        cluster.rename(home / "cluster")
        _sync_folder(home)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _initdb(binaries: Binaries, cluster: Path, sync: bool) -> list[list[str]]:
    """The command in the order to be tried: the locale that folds the case of all letters is not on every
    system.
    """
    ctypes = ["en_US.UTF-8", "C"] if sys.platform == "darwin" else ["C.UTF-8", "C"]
    words = [str(binaries.initdb), "-D", str(cluster), "--username=postgres", "--encoding=UTF8", "--locale=C"]
    words += ["--auth=reject", "--data-checksums", *([] if sync else ["--no-sync"])]
    return [[*words, f"--lc-ctype={ctype}"] for ctype in ctypes]


def check_version(home: Path, binaries: Binaries) -> None:
    """Raises StartupError when another major version of PostgreSQL made the cluster."""
    made_by = (home / "cluster" / "PG_VERSION").read_text().strip()
    ours = binaries.major_version()
    if made_by != ours:
        raise StartupError(
            f"The data folder {home} was made by PostgreSQL {made_by}, and the one installed is {ours}.",
            f"Export the data with the version of Antiphon that brought PostgreSQL {made_by}, or choose another --data-dir.",
        )


def url_of(cluster: Path, socket_folder: Path) -> str:
    """The libpq URL of the suite's database. Raises StartupError when the password is missing."""
    try:
        password = (cluster / _PASSWORD_FILE).read_text()
    except OSError as error:
        raise StartupError(
            f"The password of the embedded database cannot be read: {error.strerror}.",
            f"Restore {cluster / _PASSWORD_FILE} from a backup of the data directory.",
        ) from error
    return f"postgresql://{ROLE}:{quote(password, safe='')}@/{ROLE}?host={quote(str(socket_folder), safe='')}"


def advice_from(log: Path) -> str:
    """The end of the log, and what can be done about what it says."""
    tail = _tail(log)
    shown = f"The end of {log}:\n{tail}" if tail else f"Its log, {log}, says nothing."
    return f"{remedy_for(tail)}\n{shown}"


def remedy_for(tail: str) -> str:
    """What can be done about what a log or the system says."""
    if "semaphore" in tail or "shared memory" in tail:
        return "The system is out of shared memory or semaphores: raise its limits, or end other database servers."
    if "No space left on device" in tail or "Disk quota exceeded" in tail:
        return "The disk is full: make room, or choose a data directory on another disk with --data-dir, and start again."
    if "Permission denied" in tail or "wrong ownership" in tail:
        return "The user that runs the suite must own the data directory: run as its owner or choose another --data-dir."
    return "Correct what the log says and start again, or set DATABASE_URL to a PostgreSQL of your own."


def _tail(log: Path, lines: int = 15) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - 8192, 0))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _databases(cluster: Path) -> set[str]:
    return set(os.listdir(cluster / "base"))


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
