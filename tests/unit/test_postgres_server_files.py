"""What the embedded server believes of the files and folders it finds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.infra.postgres.binaries import find_binaries
from services.infra.postgres.cluster import remedy_for
from services.infra.postgres.configuration import server_words
from services.infra.postgres.folders import (
    make_socket_folder,
    private_home,
    remove_socket_folder,
    sweep_socket_folders,
)
from services.infra.postgres.histories import read_history
from services.infra.postgres.isolation import command_prefix
from services.infra.postgres.locks import OwnerLock, ServerLock
from services.infra.postgres.pidfile import PidFile, read_pid_file
from services.infra.postgres.postmaster import find_postmaster
from services.infra.postgres.record import RunningRecord, read_record
from services.kernel.startup import StartupError


def test_a_home_is_closed_to_everybody_else(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "postgres").mkdir(mode=0o755)
    home = private_home(tmp_path / "data" / "postgres")
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_home_that_is_a_link_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartupError):
        private_home(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(StartupError):
        private_home(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_that_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    os.chown(tmp_path / "postgres", 12345, 12345)
    with pytest.raises(StartupError, match="12345"):
        private_home(tmp_path / "postgres")
    assert (tmp_path / "postgres").stat().st_uid == 12345


def test_a_sockets_folder_is_short_private_and_new_and_goes_when_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / ("long" * 40)
    far.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(far))
    one, two = make_socket_folder(tmp_path), make_socket_folder(tmp_path)
    other = make_socket_folder(tmp_path / "other")
    assert one != two
    for folder in (one, two, other):
        assert len(os.fsencode(folder / ".s.PGSQL.5432")) <= 103
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(far.iterdir())
    (one / ".s.PGSQL.5432").touch()
    sweep_socket_folders(tmp_path)
    assert (one.exists(), two.exists(), other.exists()) == (False, False, True)
    remove_socket_folder(other)
    assert not other.exists()


def test_a_place_where_others_could_swap_the_sockets_folder_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = make_socket_folder(tmp_path)
    assert folder.parent != tmp_path
    remove_socket_folder(folder)


def test_a_strangers_link_is_not_followed_when_sockets_are_swept(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / ".s.PGSQL.5432").touch()
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    remove_socket_folder(tmp_path / "link")
    assert (tmp_path / "precious" / ".s.PGSQL.5432").exists()


def test_the_owners_lock_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "owner.lock"
    lock = OwnerLock(path)
    assert lock.holder() is None
    assert lock.acquire() is None
    assert OwnerLock(path).acquire() == os.getpid()
    assert OwnerLock(path).holder() == os.getpid()
    program = (
        "import sys; from pathlib import Path; from services.infra.postgres.locks import OwnerLock;"
        "lock = OwnerLock(Path(sys.argv[1])); print(lock.holder(), lock.acquire())"
    )
    asked = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == [str(os.getpid())] * 2
    lock.release()
    asked = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == ["None", "None"]


def test_the_servers_lock_is_free_only_when_every_process_that_holds_it_is_gone(tmp_path: Path) -> None:
    lock = ServerLock(tmp_path / "server.lock")
    taken = lock.try_take()
    assert taken is not None
    with subprocess.Popen(["sleep", "60"], pass_fds=(taken,)) as child:
        os.close(taken)
        assert lock.try_take() is None
        child.kill()
    again = lock.try_take()
    assert again is not None
    os.close(again)


@pytest.mark.parametrize("text", ["", "12", "x\ny\nz\n", "12\n/data\n"])
def test_half_a_pid_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    assert read_pid_file(tmp_path) is None


def test_a_whole_pid_file_tells_how_far_the_server_has_come(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text("12\n/data\n1700000000\n5432\n/run\n\n 1 2\nstarting\n")
    assert read_pid_file(tmp_path) == PidFile(12, 1700000000.0, "starting")
    (tmp_path / "postmaster.pid").write_text("12\n/data\n1700000000\n5432\n/run\n\n 1 2\nready   \n")
    found = read_pid_file(tmp_path)
    assert found is not None
    assert found.is_ready


def test_a_stranger_behind_a_pid_file_is_not_taken_for_a_postmaster(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as stranger:
        (tmp_path / "postmaster.pid").write_text(f"{stranger.pid}\n{tmp_path}\n99999999999\n")
        assert find_postmaster(tmp_path, [Path("/usr/bin/postgres")]) is None
        assert stranger.poll() is None
        stranger.kill()


def test_a_record_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    RunningRecord("postgresql://", "/bin/postgres", 7).write(tmp_path)
    assert read_record(tmp_path) == RunningRecord("postgresql://", "/bin/postgres", 7)
    assert (tmp_path / "running.json").stat().st_mode & 0o777 == 0o600
    for damaged in ("", "[]", '{"url": 1}'):
        (tmp_path / "running.json").write_text(damaged)
        assert read_record(tmp_path) is None


def test_a_sockets_folder_with_a_comma_or_a_quote_stays_one_folder(tmp_path: Path) -> None:
    words = server_words(Path("postgres"), tmp_path, Path('/a, "b'), {"jit": "on"}, durable=True)
    assert 'unix_socket_directories="/a, ""b"' in words
    assert "jit=on" in words
    assert "jit=off" not in words
    assert "listen_addresses=" in words


@pytest.mark.parametrize("names", [[], ["0002_b.py"], ["0001_a.py", "0003_c.py"], ["0001_a.py", "0001_b.py"]])
def test_migrations_with_a_gap_are_a_defect(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "chat" / "migrations"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    with pytest.raises(ValueError, match="numbered"):
        read_history("chat", tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a user namespace")
def test_root_without_user_namespaces_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = find_binaries()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartupError, match="set DATABASE_URL") as failure:
        command_prefix(binaries, tmp_path)
    assert "root" in failure.value.message
    forbidden = tmp_path / "unshare"
    forbidden.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    forbidden.chmod(0o755)
    with pytest.raises(StartupError, match="Operation not permitted"):
        command_prefix(binaries, tmp_path)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('could not write to file "base/4/1255": No space left on device', "make room"),
        ('could not access directory "/data": Permission denied', "run as its owner"),
        ("could not create semaphores: No space left on device (semget failed)", "limits"),
        ("something new", "Correct what the log says"),
    ],
)
def test_what_a_log_says_leads_to_advice(said: str, advice: str) -> None:
    assert advice in remedy_for(said)
