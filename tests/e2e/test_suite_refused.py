"""A start that can't succeed says why and what to do, on standard error, soon, and leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.suite_process import COMMAND, SuiteProcess, as_nobody, environment, working_in

pytestmark = pytest.mark.long

StartSuite = Callable[..., SuiteProcess]
PASSWORD = "hunter2-and-more"
KEY = "0123456789-0123456789-0123456789-0123456789"
QUICK = 15.0


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refused(
    folder: Path,
    *arguments: str,
    settings: dict[str, str] | None = None,
    seconds: float = QUICK,
    prefix: tuple[str, ...] = (),
) -> str:
    """What a start tells that fails within this time."""
    began = time.monotonic()
    done = subprocess.run(
        [*prefix, *COMMAND, "serve", *arguments],
        cwd=folder,
        env=environment(folder, settings),
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert done.returncode not in (0, None), done.stdout
    assert time.monotonic() - began < seconds
    assert done.stdout == ""
    for secret in ("Traceback", PASSWORD, KEY):
        assert secret not in done.stderr
    assert working_in(folder) == []
    return done.stderr


def test_a_port_in_use(tmp_path: Path, taken: int) -> None:
    told = refused(tmp_path, "--port", str(taken))
    assert f"The address 127.0.0.1:{taken} is in use by" in told
    assert f"(pid {os.getpid()})" in told
    assert "--port" in told
    # Nothing was begun: no data directory, no secret, no PostgreSQL.
    assert list(tmp_path.iterdir()) == []


def test_a_metrics_port_in_use(tmp_path: Path, taken: int) -> None:
    told = refused(tmp_path, "--port", "0", settings={"ANTIPHON_METRICS__ADDRESS": f"127.0.0.1:{taken}"})
    assert f"127.0.0.1:{taken}" in told
    assert "ANTIPHON_METRICS__ADDRESS" in told
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_can_not_be_reached_is_waited_for_as_long_as_the_setting_says(
    tmp_path: Path, taken: int
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"postgresql://me:{PASSWORD}@127.0.0.1:{unused.getsockname()[1]}/there"
        began = time.monotonic()
        told = refused(
            tmp_path,
            "--port",
            "0",
            settings={
                "DATABASE_URL": url,
                "ANTIPHON_SECRET_KEY": KEY,
                "ANTIPHON_DATABASE__START_TIMEOUT": "1500ms",
            },
        )
        assert time.monotonic() - began > 1.5
    waiting, *last = told.splitlines()
    assert json.loads(waiting)["event"].startswith("Waiting for the database postgresql://me@127.0.0.1")
    assert "cannot be reached" in last[0]
    assert "DATABASE_URL" in last[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"DATABASE_URL": f"mysql://me:{PASSWORD}@db/there"}, ["DATABASE_URL", "postgresql://"]),
        ({"DATABASE_URL": f"postgresql://me:{PASSWORD}@db/there"}, ["ANTIPHON_SECRET_KEY is not set"]),
        ({"ANTIPHON_CHTA__STORE": "postgres"}, ["ANTIPHON_CHTA__STORE", "ANTIPHON_CHAT__STORE?"]),
        (
            {"LOG_LEVEL": "INFO", "ANTIPHON_LOG__LEVEL": "DEBUG"},
            ["LOG_LEVEL", "ANTIPHON_LOG__LEVEL", "disagree"],
        ),
        ({"ANTIPHON_SERVER__GRACE": "10 parsecs"}, ["ANTIPHON_SERVER__GRACE", "duration", "10 parsecs"]),
        ({"ANTIPHON_SERVER__HOST": "0.0.0.0"}, ["plain text", "ANTIPHON_SERVER__ALLOW_PLAINTEXT"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_can_not_be_meant(tmp_path: Path, settings: dict[str, str], words: list[str]) -> None:
    told = refused(tmp_path, "--port", "0", settings=settings)
    assert told.startswith("antiphon: ")
    assert all(word in told for word in words), told
    assert not (tmp_path / ".antiphon").exists()


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    told = refused(tmp_path, "chatt", "--port", "0")
    assert "no service 'chatt'" in told
    assert "Did you mean chat?" in told


def test_a_secret_file_that_is_too_short(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    told = refused(tmp_path, "--port", "0", settings={"ANTIPHON_SECRET_KEY_FILE": "key"})
    assert "The file key is too short" in told
    assert "token_urlsafe" in told


def test_data_directories_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    told = refused(tmp_path, "--port", "0", "--data-dir", "file")
    assert str(tmp_path / "file") in told
    assert "--data-dir" in told
    (tmp_path / "foreign" / "postgres" / "cluster").mkdir(parents=True)
    (tmp_path / "foreign" / "postgres" / "cluster" / "notes.txt").write_text("mine")
    assert "cluster" in refused(tmp_path, "--port", "0", "--data-dir", "foreign")
    assert (tmp_path / "foreign" / "postgres" / "cluster" / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_data_directory_of_somebody_else() -> None:
    prefix = as_nobody()
    folder = Path(tempfile.mkdtemp(prefix="antiphon-foreign-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        (folder / "data").mkdir(mode=0o700)
        told = refused(folder, "--port", "0", prefix=prefix, settings={"ANTIPHON_DATA_DIR": "data"})
        assert f"{folder}/data" in told
        assert "Permission denied" in told
        assert "--data-dir" in told
        assert "not readable" in refused(folder, "--port", "0", "--data-dir", "data", prefix=prefix)
    finally:
        shutil.rmtree(folder)


def test_a_second_suite_on_the_same_data_directory(tmp_path: Path, start_suite: StartSuite) -> None:
    first = start_suite().up()
    second = start_suite(tmp_path / "second", data_dir=first.data_dir)
    assert second.ended() == 1
    assert f"in use by another suite (process {first.process.pid})" in second.err
    assert first.health() is not None
    assert first.stop(signal.SIGINT) == 0


def test_a_catalog_of_models_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("[[models]\n")
    told = refused(tmp_path, "--port", "0", settings={"ANTIPHON_CHAT__MODELS_FILE": "models.toml"})
    assert "models.toml:1:" in told.splitlines()[-2]
    assert list(tmp_path.rglob("postgres")) == []


def test_a_catalog_of_image_models_that_is_not_there(tmp_path: Path) -> None:
    told = refused(tmp_path, "--port", "0", settings={"ANTIPHON_IMAGE__MODELS_FILE": "nowhere.toml"})
    assert "nowhere.toml" in told
    assert list(tmp_path.rglob("postgres")) == []


def test_a_data_directory_whose_secret_was_lost(tmp_path: Path, start_suite: StartSuite) -> None:
    assert start_suite().up().stop() == 0
    (tmp_path / "data" / "secret").unlink()
    second = start_suite()
    assert second.ended(40) == 1
    assert "Traceback" not in second.err
    assert "ANTIPHON_SECRET_KEY" in second.err
    assert working_in(tmp_path) == []
