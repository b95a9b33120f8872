"""The table behind the feed of revocations, on PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.auth.stores.revocations import SqlRevocations
from services.capabilities.identity.revocations import RevocationKind
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from tests.fakes.revocation_tables import Table


@pytest.fixture
async def table(migrated_url: str) -> AsyncIterator[Table]:
    async with Database(migrated_url, min_size=1, max_size=8) as database:
        yield Table(database)


async def positions(table: Table) -> list[int]:
    return [one.position for one in await table.after(0, 1000)]


async def test_positions_grow_and_pages_leave_nothing_out(table: Table) -> None:
    assert await table.last() == 0
    assert await table.current(0, 10) == []
    subjects = [new_id() for _ in range(7)]
    await table.add(*subjects)
    entries = await table.after(0, 100)
    assert [one.subject_id for one in entries] == subjects
    assert await table.last() == entries[-1].position
    for read in (table.current, table.after):
        paged = [*await read(0, 3), *await read(entries[2].position, 3), *await read(entries[5].position, 3)]
        assert paged == list(entries)


async def test_an_entry_about_a_person_is_in_the_persons_row(table: Table) -> None:
    people = sorted(new_id() for _ in range(2))
    for person in people:
        await table.run(
            "insert into auth.users (id, email, email_key, display_name, password_hash, password_shown, role, disabled)"
            " values (%s, %s, %s, '', 'x', true, 'user', false)",
            person,
            f"{person}@example.com",
            f"{person}@example.com",
        )
    await table.add(kind=RevocationKind.SESSION)
    await table.add(*people, kind=RevocationKind.USER)
    await table.add(people[0], kind=RevocationKind.API_KEY)
    async with table.database.connection() as connection:
        cursor = await connection.execute("select id::text, revocation_id from auth.users order by id")
        rows = await cursor.fetchall()
    about = {one.subject_id: one.position for one in await table.after(1, 2)}
    assert rows == [(person, about[person]) for person in people]


async def test_numbers_become_visible_in_their_order(table: Table) -> None:
    """Thirty transactions at once, each of which lingers between its number and its commit, and a reader who never looks back."""
    seen: list[int] = []
    done = False

    async def add(number: int) -> None:
        async with table.database.engine.begin() as connection:
            await table.sql.add(connection, RevocationKind.SESSION, [new_id(), new_id()])
            await asyncio.sleep(0.005 * (number % 3))

    async def read() -> None:
        while not done or (await table.last()) != (seen or [0])[-1]:
            seen.extend(one.position for one in await table.after((seen or [0])[-1], 5))

    reading = asyncio.create_task(read())
    # A pool of eight: whoever waits for the lock holds a connection.
    for batch in range(5):
        await asyncio.gather(*(add(batch + number) for number in range(6)))
    done = True
    await reading
    assert seen == await positions(table)
    assert len(seen) == 60


async def test_what_expired_is_forgotten_but_not_the_deleted_nor_the_last(table: Table) -> None:
    gone, deleted, alive, last = new_id(), new_id(), new_id(), new_id()
    await table.add(gone)
    await table.add(deleted, kind=RevocationKind.USER_DELETED)
    await table.add(alive)
    await table.add(last)
    await table.expire(gone, deleted, last)
    assert await table.sql.prune() == 1
    assert await table.sql.prune() == 0
    assert [one.subject_id for one in await table.after(0, 10)] == [deleted, alive, last]
    assert [one.subject_id for one in await table.current(0, 10)] == [alive, last]
    await table.add()
    assert await table.sql.prune() == 1
    assert [one.subject_id for one in await table.after(0, 10)][:2] == [deleted, alive]


async def test_a_rolled_back_entry_is_none_and_frees_the_lock(table: Table) -> None:
    with contextlib.suppress(KeyError):
        async with table.database.engine.begin() as connection:
            await table.sql.add(connection, RevocationKind.SESSION, [new_id()])
            raise KeyError
    assert await table.last() == 0
    await table.add()
    assert len(await positions(table)) == 1


async def test_nothing_to_add_takes_no_lock(table: Table) -> None:
    async with table.database.engine.begin() as holder:
        await table.sql.add(holder, RevocationKind.SESSION, [new_id()])
        async with asyncio.timeout(5), table.database.engine.begin() as connection:
            await table.sql.add(connection, RevocationKind.SESSION, [])


async def test_a_database_that_is_away_is_unavailable(migrated_url: str) -> None:
    database = Database(migrated_url, min_size=1, max_size=2)
    await database.open()
    await database.close()
    sql = SqlRevocations(database, timedelta(minutes=15))
    for reading in (sql.last(), sql.after(0, 1), sql.current(0, 1), sql.prune()):
        with pytest.raises(Unavailable):
            await reading


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(list(RevocationKind)), st.booleans()), min_size=1, max_size=6))
async def test_a_snapshot_is_what_has_not_expired_and_the_last(
    table: Table, made: list[tuple[RevocationKind, bool]]
) -> None:
    before = await table.last()
    subjects = [(await table.add(kind=kind))[0] for kind, _ in made]
    await table.expire(*(subject for subject, (_, expires) in zip(subjects, made, strict=True) if expires))
    wanted = [
        subject
        for number, (subject, (_, expires)) in enumerate(zip(subjects, made, strict=True), 1)
        if not expires or number == len(made)
    ]
    assert [one.subject_id for one in await table.current(before, 100)] == wanted
