"""The runner of the services' migrations, against a real server and made-up services."""

import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from services.infra.postgres.histories import State, services_with_migrations
from services.infra.postgres.migrations import ensure_current, status, upgrade
from services.kernel.startup import StartupError

_MIGRATION = '''"""{what}"""

import time

from alembic import op

revision = "{number:04}"
down_revision = {previous}


def upgrade() -> None:
    op.execute("""{statement}""")
    time.sleep({seconds})
'''


class Services:
    """A folder of services whose migrations a test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, service: str, statement: str, seconds: float = 0) -> None:
        folder = self.root / service / "migrations"
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("0*.py"))) + 1
        previous = repr(f"{number - 1:04}") if number > 1 else "None"
        text = _MIGRATION.format(
            what=statement, number=number, previous=previous, statement=statement, seconds=seconds
        )
        (folder / f"{number:04}_step.py").write_text(text)

    def drop_last(self, service: str) -> None:
        max((self.root / service / "migrations").glob("0*.py")).unlink()


@pytest.fixture
def services(tmp_path: Path) -> Services:
    services = Services(tmp_path / "100% of the services")
    services.add("left", "create table things (name text primary key)")
    services.add("right", "create table right.things (name text primary key)".replace("right.", '"right".'))
    return services


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


async def test_each_service_gets_a_schema_with_its_tables_and_its_history(
    services: Services, postgres_url: str
) -> None:
    before = await upgrade(postgres_url, ["left", "right"], root=services.root)
    assert [found.state for found in before] == [State.EMPTY, State.EMPTY]
    tables = _rows(
        postgres_url,
        "select schemaname, tablename from pg_tables where schemaname in ('left', 'right') order by 1, 2",
    )
    assert tables == [
        (schema, table) for schema in ("left", "right") for table in ("alembic_version", "things")
    ]
    after = await status(postgres_url, ["left", "right"], root=services.root)
    assert [found.state for found in after] == [State.CURRENT, State.CURRENT]
    await ensure_current(postgres_url, ["left", "right"], root=services.root)


async def test_a_second_upgrade_changes_nothing_and_a_later_one_only_adds(
    services: Services, postgres_url: str
) -> None:
    await upgrade(postgres_url, ["left"], root=services.root)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("insert into \"left\".things values ('kept')")
    await upgrade(postgres_url, ["left"], root=services.root)
    services.add("left", "alter table things add column size int")
    services.add("left", "alter table things add column colour text")
    before = await upgrade(postgres_url, ["left"], root=services.root)
    assert [(found.revision, found.state) for found in before] == [("0001", State.BEHIND)]
    assert _rows(postgres_url, 'select * from "left".things') == [("kept", None, None)]


async def test_a_start_on_a_database_that_is_behind_says_what_to_run(
    services: Services, postgres_url: str
) -> None:
    with pytest.raises(StartupError, match="antiphon migrate"):
        await ensure_current(postgres_url, ["left"], root=services.root)
    await upgrade(postgres_url, ["left", "right"], root=services.root)
    services.add("left", "alter table things add column size int")
    with pytest.raises(StartupError, match="left: 0001 in the database, 0002 in the code") as failure:
        await ensure_current(postgres_url, ["left", "right"], root=services.root)
    assert "right" not in str(failure.value)


async def test_a_database_that_a_newer_version_migrated_is_left_alone(
    services: Services, postgres_url: str
) -> None:
    services.add("left", "alter table things add column size int")
    await upgrade(postgres_url, ["left"], root=services.root)
    services.drop_last("left")
    assert [found.state for found in await status(postgres_url, ["left"], root=services.root)] == [
        State.AHEAD
    ]
    for refused in (ensure_current, upgrade):
        with pytest.raises(StartupError, match="newer version"):
            await refused(postgres_url, ["left", "right"], root=services.root)
    assert not _rows(postgres_url, "select from pg_namespace where nspname = 'right'")


async def test_a_migration_that_fails_leaves_the_state_from_before(
    services: Services, postgres_url: str
) -> None:
    await upgrade(postgres_url, ["left"], root=services.root)
    services.add("left", "create table more (name text)")
    services.add("left", "insert into things values (1 / 0)")
    with pytest.raises(StartupError, match="left failed and was rolled back: division by zero"):
        await upgrade(postgres_url, ["left"], root=services.root)
    found = await status(postgres_url, ["left"], root=services.root)
    assert [(each.revision, each.state) for each in found] == [("0001", State.BEHIND)]
    assert not _rows(postgres_url, "select from pg_tables where tablename = 'more'")
    services.drop_last("left")
    await upgrade(postgres_url, ["left"], root=services.root)
    await ensure_current(postgres_url, ["left"], root=services.root)


def _upgrading(url: str, root: Path) -> subprocess.Popen[str]:
    program = (
        "import asyncio, sys; from pathlib import Path; from services.infra.postgres.migrations import upgrade;"
        "print([found.state.value for found in asyncio.run(upgrade(sys.argv[1], ['left'], root=Path(sys.argv[2])))])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, url, str(root)], stdout=subprocess.PIPE, text=True
    )


async def test_two_processes_that_upgrade_at_once_do_the_work_once(
    services: Services, postgres_url: str
) -> None:
    services.add("left", "insert into things values ('once')", seconds=0.5)
    processes = [_upgrading(postgres_url, services.root) for _ in range(2)]
    answers = sorted(process.communicate(timeout=30)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert answers == ["['current']", "['empty']"]
    assert _rows(postgres_url, 'select * from "left".things') == [("once",)]


async def test_an_upgrade_that_is_killed_leaves_the_state_from_before(
    services: Services, postgres_url: str
) -> None:
    await upgrade(postgres_url, ["left"], root=services.root)
    services.add("left", "create table more (name text)", seconds=30)
    process = _upgrading(postgres_url, services.root)
    working = "select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        while not connection.execute(working).fetchall():
            assert process.poll() is None
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while connection.execute(working).fetchall():
            assert time.monotonic() < deadline
    found = await status(postgres_url, ["left"], root=services.root)
    assert [(each.revision, each.state) for each in found] == [("0001", State.BEHIND)]


def test_to_know_where_a_database_stands_alembic_is_not_imported(
    services: Services, postgres_url: str
) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from services.infra.postgres.migrations import status, upgrade;"
        "from services.infra.postgres.database import Database; from services.infra.postgres.embedded import EmbeddedPostgres;"
        "asyncio.run(status(sys.argv[1], ['left'], root=Path(sys.argv[2])));"
        "print([name for name in ('alembic', 'sqlalchemy', 'psutil') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, postgres_url, services.root],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.strip() == "[]"


async def test_the_services_own_migrations_apply_to_an_empty_database(migrated_url: str) -> None:
    await ensure_current(migrated_url, services_with_migrations())
