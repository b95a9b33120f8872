"""PostgreSQL for the tests: one embedded server for the whole run, started when a test first wants it.

The process that controls the run owns the server, so the workers of pytest-xdist share it, and its watchdog
stops it however the run ends. With TEST_DATABASE_URL set, databases are made on that server instead (its role
needs CREATEDB).
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from services.infra.postgres.histories import services_with_migrations
from services.infra.postgres.locks import OwnerLock
from services.infra.postgres.migrations import upgrade
from services.infra.postgres.server import EmbeddedServer
from services.infra.postgres.urls import normalise_url

pytest_plugins = ["tests.peers.readying"]

_FOLDER_PREFIX = "antiphon-tests-"
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02
_STALE_SECONDS = 600
_TEMPLATE_LOCK = 7_301_001
_SCHEMAS = {
    "test_analytics": ("analytics",),
    "test_auth": ("auth",),
    "test_chat": ("chat",),
    "test_identity": ("auth",),
    "test_image": ("image",),
    "test_metering": ("chat",),
    "test_speech": ("speech",),
}
"""What the files in tests/contract that begin so need."""


class ServerOnDemand:
    """The server of this run: a thread waits for the file `wanted` and answers with the file `url` or
    `failed`.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="test-postgres", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not (self.folder / "wanted").exists():
            if self._over.wait(_POLL_SECONDS):
                return
        server = EmbeddedServer(self.folder, durable=False, settings={"max_connections": "200"})
        try:
            self._answer("url", server.start())
            self._over.wait()
        except Exception as error:
            self._answer("failed", str(error))
        finally:
            server.stop()

    def _answer(self, name: str, text: str) -> None:
        draft = self.folder / f"{name}.new"
        draft.write_text(text)
        draft.rename(self.folder / name)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)


_server = pytest.StashKey[ServerOnDemand]()


def pytest_configure(config: pytest.Config) -> None:
    # How fast a machine is, or how busy, says nothing about a law.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")
    if not hasattr(config, "workerinput"):
        _sweep_killed_runs()
        config.stash[_server] = ServerOnDemand()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["postgres_folder"] = str(node.config.stash[_server].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    server = config.stash.get(_server, None)
    if server is not None:
        _drop_databases_of(server.folder)
        server.close()


def _sweep_killed_runs() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            old = time.time() - folder.stat().st_mtime > _STALE_SECONDS
            unused = OwnerLock((folder / "postgres" / "owner.lock").resolve()).holder() is None
            if old and unused and folder.stat().st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)


def _drop_databases_of(folder: Path) -> None:
    """On a server of somebody else's nothing of this run stays, the template neither."""
    url = os.environ.get("TEST_DATABASE_URL")
    if not url or not (folder / "used").exists():
        return
    with psycopg.connect(normalise_url(url), autocommit=True) as connection:
        found = connection.execute(
            "select datname from pg_database where starts_with(datname, %s)", (_run_name(folder),)
        ).fetchall()
        for (name,) in found:
            _drop(connection, name)


def _run_name(folder: Path) -> str:
    return f"antiphon_test_{folder.name.removeprefix(_FOLDER_PREFIX).lower()}_"


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


class TestDatabases:
    """Makes and drops databases on the server of this run."""

    __test__ = False

    def __init__(self, url: str, run_name: str) -> None:
        self._url = url
        self._run_name = run_name
        self._connection = psycopg.connect(url, autocommit=True)

    def url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def create(self, template: str | None = None) -> str:
        """The name of a new database, empty or a copy of the template."""
        name = f"{self._run_name}{secrets.token_hex(6)}"
        statement = sql.SQL("create database {} template {} strategy file_copy").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
        self._connection.execute(statement)
        return name

    def drop(self, name: str) -> None:
        _drop(self._connection, name)

    def migrated_template(self, services: Sequence[str] = ()) -> str:
        """The name of a database with these services' schemas, all by default, which the first worker to ask makes for all."""
        services = services or services_with_migrations()
        template = f"{self._run_name}template_{'_'.join(services)}"
        self._connection.execute("select pg_advisory_lock(%s)", (_TEMPLATE_LOCK,))
        try:
            known = self._connection.execute(
                "select 1 from pg_database where datname = %s", (template,)
            ).fetchone()
            if known is None:
                draft = self.create()
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(lambda: asyncio.run(upgrade(self.url_of(draft), services))).result()
                rename = sql.SQL("alter database {} rename to {}")
                self._connection.execute(rename.format(sql.Identifier(draft), sql.Identifier(template)))
        finally:
            self._connection.execute("select pg_advisory_unlock(%s)", (_TEMPLATE_LOCK,))
        return template

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="session")
def test_databases(pytestconfig: pytest.Config) -> Iterator[TestDatabases]:
    """Databases to make and drop at will; `postgres_url` and `migrated_url` are what a test usually wants."""
    workerinput = getattr(pytestconfig, "workerinput", None)
    folder = Path(workerinput["postgres_folder"]) if workerinput else pytestconfig.stash[_server].folder
    url = os.environ.get("TEST_DATABASE_URL")
    if url:
        (folder / "used").touch()
    databases = TestDatabases(normalise_url(url) if url else _url_of_run(folder), _run_name(folder))
    yield databases
    databases.close()


def _url_of_run(folder: Path) -> str:
    (folder / "wanted").touch()
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if (folder / "url").exists():
            return (folder / "url").read_text()
        if (folder / "failed").exists():
            pytest.fail(f"the tests' PostgreSQL did not start: {(folder / 'failed').read_text()}")
        time.sleep(_POLL_SECONDS)
    pytest.fail("the tests' PostgreSQL did not start in time")


@pytest.fixture
def make_database(test_databases: TestDatabases) -> Iterator[Callable[[], str]]:
    """Makes empty databases, as many as a test wants, and drops them after it. Returns URLs."""
    names: list[str] = []

    def make() -> str:
        names.append(test_databases.create())
        return test_databases.url_of(names[-1])

    yield make
    for name in names:
        test_databases.drop(name)


@pytest.fixture
def postgres_url(make_database: Callable[[], str]) -> str:
    """The URL of an empty database of this test's own."""
    return make_database()


@pytest.fixture
def migrated_url(test_databases: TestDatabases, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database of this test's own that has every service's schema; in the suites of a service's ports that of the service alone, since
    a database is copied file by file."""
    of_ports = request.path.parent.name == "contract"
    services = _SCHEMAS.get("_".join(request.path.stem.split("_")[:2]), ()) if of_ports else ()
    template = test_databases.migrated_template(services)
    name = test_databases.create(template)
    yield test_databases.url_of(name)
    test_databases.drop(name)
