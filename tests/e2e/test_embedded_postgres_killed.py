"""The embedded PostgreSQL when its suite is killed: another process plays the suite, and really dies."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from services.infra.postgres.binaries import find_binaries
from services.infra.postgres.configuration import server_words
from services.infra.postgres.folders import make_socket_folder, remove_socket_folder
from services.infra.postgres.isolation import command_prefix
from services.infra.postgres.pidfile import read_pid_file
from services.infra.postgres.server import EmbeddedServer

pytestmark = pytest.mark.long

_ROOT = Path(__file__).parents[2]

# Prints what a test wants to know once the server runs, then waits for its own end. SIGINT is counted and
# survived.
_SUITE = """
import os, signal, sys, threading
from pathlib import Path
from services.infra.postgres.server import EmbeddedServer
from services.kernel.startup import StartupError

signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
server = EmbeddedServer(Path(sys.argv[1]))
try:
    url = server.start()
except StartupError as error:
    sys.exit(f"refused: {error}")
child = os.fork() if "--with-child" in sys.argv else 0
if "--with-child" in sys.argv and child == 0:
    signal.pause()
    os._exit(0)
print(url, server.postmaster_pid, server.watchdog_pid, child, flush=True)
for line in sys.stdin:
    break
server.stop()
"""


class Suite:
    """A suite in a process of its own."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SUITE, str(data_dir), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        self.url = ""
        self.postmaster = self.watchdog = self.child = 0

    def ready(self) -> "Suite":
        words = self.line().split()
        assert len(words) == 4, f"the suite did not start: {self.process.wait()}"
        self.url = words[0]
        self.postmaster, self.watchdog, self.child = (int(word) for word in words[1:])
        return self

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def end(self) -> int:
        self.process.communicate("stop\n", timeout=60)
        return self.process.returncode


Start = Callable[..., Suite]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts suites, and kills at the end those that a failed test left behind."""
    suites: list[Suite] = []

    def begin(data_dir: Path, *options: str) -> Suite:
        suites.append(Suite(data_dir, *options))
        return suites[-1]

    yield begin
    for suite in suites:
        suite.kill()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("made")
    server = EmbeddedServer(data_dir, durable=False)
    server.start()
    server.stop()
    return data_dir


@pytest.fixture
def data_dir(made: Path, tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(made, tmp_path / "data"))
    _wait_until_nobody_works_in(tmp_path)


def _working_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder) or any(
                str(folder) in word for word in process.cmdline()
            ):
                found.append(process)
    return found


def _wait_until_nobody_works_in(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while left := _working_in(folder):
        assert time.monotonic() < deadline, f"still there after a minute: {left}"
        time.sleep(0.02)


def _note(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table if not exists notes (text text)")
        connection.execute("insert into notes values (%s)", (text,))


def _notes(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [text for (text,) in connection.execute("select text from notes order by ctid").fetchall()]


def test_killed_while_it_serves_the_next_start_works_at_once_and_nothing_committed_is_lost(
    data_dir: Path, start: Start
) -> None:
    written = []
    for number in range(4):
        suite = start(data_dir).ready()
        written.append(f"note {number}")
        _note(suite.url, written[-1])
        suite.kill()
    started = time.monotonic()
    suite = start(data_dir).ready()
    assert time.monotonic() - started < 20
    assert _notes(suite.url) == written
    assert suite.end() == 0


def test_killed_without_a_successor_no_process_stays(data_dir: Path, start: Start) -> None:
    suite = start(data_dir).ready()
    suite.kill()
    _wait_until_nobody_works_in(data_dir)
    assert not psutil.pid_exists(suite.postmaster)
    assert not Path(str(psycopg.conninfo.conninfo_to_dict(suite.url)["host"])).exists()


def test_killed_at_any_moment_of_its_first_start_the_next_one_works(tmp_path: Path, start: Start) -> None:
    data_dir = tmp_path / "new"
    chance = random.Random(7)
    for number in range(8):
        suite = start(data_dir)
        time.sleep(chance.uniform(0.05, 1.2))
        suite.kill()
        if number % 4 == 3:
            shutil.rmtree(data_dir / "postgres" / "cluster", ignore_errors=True)
    suite = start(data_dir).ready()
    _note(suite.url, "alive")
    assert suite.end() == 0
    assert not list((data_dir / "postgres").glob("making-*"))
    _wait_until_nobody_works_in(tmp_path)


def test_killed_at_any_moment_of_a_later_start_the_next_one_works(data_dir: Path, start: Start) -> None:
    chance = random.Random(11)
    for _ in range(8):
        suite = start(data_dir)
        time.sleep(chance.uniform(0.05, 0.35))
        suite.kill()
    suite = start(data_dir).ready()
    _note(suite.url, "alive")
    assert suite.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is the next start that ends the orphan")
def test_killed_together_with_its_watchdog_no_process_stays(data_dir: Path, start: Start) -> None:
    suite = start(data_dir).ready()
    _note(suite.url, "kept")
    _kill_with_watchdog(suite)
    _wait_until_nobody_works_in(data_dir)
    successor = start(data_dir).ready()
    assert _notes(successor.url) == ["kept"]
    assert successor.end() == 0


def test_killed_together_with_its_watchdog_the_next_start_works_at_once(data_dir: Path, start: Start) -> None:
    for _ in range(4):
        suite = start(data_dir).ready()
        _note(suite.url, "kept")
        _kill_with_watchdog(suite)
    successor = start(data_dir).ready()
    assert _notes(successor.url) == ["kept"] * 4
    assert successor.end() == 0


def _kill_with_watchdog(suite: Suite) -> None:
    os.kill(suite.process.pid, signal.SIGSTOP)  # so that it cannot notice that its watchdog is gone
    os.kill(suite.watchdog, signal.SIGKILL)
    suite.kill()


def test_an_orphan_of_ours_is_ended_by_the_next_start(data_dir: Path, tmp_path: Path, start: Start) -> None:
    binaries, cluster, sockets = (
        find_binaries(),
        data_dir / "postgres" / "cluster",
        make_socket_folder(tmp_path),
    )
    words = server_words(binaries.postgres, cluster, sockets, {}, durable=True)
    orphan = subprocess.Popen([*command_prefix(binaries, data_dir), *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (found := read_pid_file(cluster)) or not found.is_ready:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    suite = start(data_dir).ready()
    assert orphan.wait(20) == 0
    _note(suite.url, "alive")
    assert suite.end() == 0
    remove_socket_folder(sockets)


def test_a_child_that_the_suite_forked_does_not_keep_the_server_alive(data_dir: Path, start: Start) -> None:
    suite = start(data_dir, "--with-child").ready()
    suite.kill()
    try:
        deadline = time.monotonic() + 60
        while psutil.pid_exists(suite.postmaster):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert start(data_dir).ready().end() == 0
    finally:
        os.kill(suite.child, signal.SIGKILL)


def test_a_second_suite_is_refused_with_the_pid_of_the_first_which_goes_on(
    data_dir: Path, start: Start
) -> None:
    first = start(data_dir).ready()
    second = subprocess.run(
        [sys.executable, "-c", _SUITE, str(data_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert second.returncode != 0
    assert f"in use by another suite (process {first.process.pid})" in second.stderr
    _note(first.url, "undisturbed")
    assert first.end() == 0


def test_ctrl_c_in_the_terminal_reaches_the_suite_alone(data_dir: Path, start: Start) -> None:
    suite = start(data_dir).ready()
    os.killpg(suite.process.pid, signal.SIGINT)
    assert suite.line() == "interrupted\n"
    _note(suite.url, "still served")
    assert suite.end() == 0


def test_asked_to_end_the_watchdog_and_the_server_wait_for_the_suite(data_dir: Path, start: Start) -> None:
    suite = start(data_dir).ready()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(suite.watchdog, number)
    _note(suite.url, "still served")
    assert suite.end() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("user", [65534, 54321], ids=["nobody", "a number without a name"])
def test_as_another_user(user: int) -> None:
    """The tests themselves may run as root; the suite's user is then an ordinary one, or one without a
    name.
    """
    as_user = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        "env",
        "-u",
        "XDG_RUNTIME_DIR",
    ]
    asked = subprocess.run(
        [*as_user, sys.executable, "-c", "import services"], cwd=_ROOT, capture_output=True, check=False
    )
    if asked.returncode != 0:
        pytest.skip("another user cannot read this checkout or its Python")
    folder = Path(f"/tmp/antiphon-as-{user}-{os.getpid()}")
    folder.mkdir(mode=0o700)
    os.chown(folder, user, user)
    try:
        run = subprocess.run(
            [*as_user, sys.executable, "-c", _SUITE, str(folder / "data")],
            input="stop\n",
            capture_output=True,
            text=True,
            timeout=50,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith("postgresql://")
        assert {path.stat().st_uid for path in folder.rglob("*")} == {user}
    finally:
        shutil.rmtree(folder)
