"""The promises of the store of API keys, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from services.auth.errors import ApiKeyEnded, StandingLost
from services.auth.model.accounts import Role
from services.auth.model.audit import Deed, Origin, Standing
from services.infra.postgres.database import Database
from services.kernel.errors import AlreadyExists, NotFound
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.auth_key_stage import (
    InPostgres,
    KeyStage,
    digest,
    key_claim,
    key_deed,
    key_stage,
    near,
    new_key,
    sql_keys,
)
from tests.fakes.served_suite import until

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NONE = timedelta()


@pytest.fixture(params=["memory", "postgres"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[KeyStage]:
    url = None if request.param == "memory" else request.getfixturevalue("migrated_url")
    async with key_stage(url) as staged:
        yield staged


@pytest.mark.parametrize("role", list(Role))
async def test_a_key_names_its_person_their_role_and_its_scopes(stage: KeyStage, role: Role) -> None:
    ana = await stage.person(role)
    expires = datetime.now(UTC) + DAY
    made = await stage.make(ana, expire_time=expires)
    owner = await stage.keys.owner(made.public_id, digest("first"))
    assert owner is not None
    assert (owner.api_key_id, owner.user_id, owner.role) == (made.api_key_id, ana, role)
    assert owner.scopes == {"chat.read", "chat.write"}
    assert owner.expire_time == made.expire_time == expires
    assert await stage.keys.owner(made.public_id, digest("another")) is None
    assert await stage.keys.owner("unknown", digest("first")) is None
    assert await stage.world.deeds() == ["key.create"]


async def test_keys_are_listed_newest_first_page_by_page_to_their_owner_alone(stage: KeyStage) -> None:
    ana, ben = await stage.person(), await stage.person()
    made = [await stage.make(ana, f"key-{number}") for number in range(5)]
    await stage.make(ben, "ben")
    await stage.keys.revoke(ana, made[4].api_key_id, key_deed("key.revoke", ana))
    ids = [key.api_key_id for key in reversed(made)]
    first = await stage.keys.list(ana, PageRequest(2))
    assert [key.api_key_id for key in first.items] == ids[:2]
    assert first.items[0].revoke_time is not None
    rest = await stage.keys.list(ana, PageRequest(10, first.after))
    assert [key.api_key_id for key in rest.items] == ids[2:]
    assert rest.after is None
    skipped = await stage.keys.list(ana, PageRequest(10, None, 4))
    assert skipped.items == [made[0]]
    assert (await stage.keys.list(await stage.person(), PageRequest())).items == []


async def test_a_key_is_nobody_elses(stage: KeyStage) -> None:
    ana, ben = await stage.person(), await stage.person()
    key = await stage.make(ana)
    assert await stage.keys.get(ana, key.api_key_id) == key
    assert await stage.keys.get(ben, key.api_key_id) is None
    by = key_deed("key.rotate", ben)
    assert await stage.keys.rotate(ben, key.api_key_id, digest("x"), HOUR, by) is None
    assert not await stage.keys.revoke(ben, key.api_key_id, by)
    assert not await stage.keys.revoke(ben, new_id(), by)
    assert await stage.accepts(key, "first")
    assert await stage.world.deeds() == ["key.create"]


async def test_a_key_of_nobody_is_not_made(stage: KeyStage) -> None:
    held = key_claim()
    with pytest.raises(NotFound):
        await stage.keys.add(new_key(new_id(), "first"), key_deed("key.create", ""), held)
    key, is_new = await stage.keys.add(
        new_key(await stage.person(), "first"), key_deed("key.create", ""), held
    )
    assert is_new
    assert await stage.accepts(key, "first")


async def test_a_claim_gives_the_key_that_it_made(stage: KeyStage) -> None:
    ana, held = await stage.person(), key_claim()
    by = key_deed("key.create", ana)
    made, is_new = await stage.keys.add(new_key(ana, "first"), by, held)
    assert is_new
    assert await stage.other.add(new_key(ana, "second"), by, held) == (made, False)
    with pytest.raises(AlreadyExists) as refused:
        await stage.keys.add(new_key(ana, "third"), by, key_claim(b"another", held.request_id))
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert (await stage.keys.list(ana, PageRequest())).items == [made]
    assert await stage.world.deeds() == ["key.create"]


async def test_one_claim_at_once_in_two_processes_makes_one_key(stage: KeyStage) -> None:
    ana, held = await stage.person(), key_claim()
    both = (stage.keys, stage.other)
    made = await asyncio.gather(
        *(both[n % 2].add(new_key(ana, f"key-{n}"), key_deed("key.create", ana), held) for n in range(10))
    )
    assert len({key.api_key_id for key, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1
    accepted = [await stage.accepts(made[0][0], f"key-{n}") for n in range(10)]
    assert accepted == [is_new for _, is_new in made]


async def test_a_rotated_key_is_accepted_in_its_grace(stage: KeyStage) -> None:
    key = await stage.make(await stage.person())
    rotated = await stage.rotate(key, "second", HOUR)
    assert near(rotated.old_expire_time, datetime.now(UTC) + HOUR)
    old = await stage.keys.owner(key.public_id, digest("first"))
    new = await stage.keys.owner(key.public_id, digest("second"))
    assert old is not None
    assert new is not None
    assert (old.expire_time, new.expire_time) == (rotated.old_expire_time, None)
    assert (old.is_old, new.is_old) == (True, False)
    await stage.world.pass_time(HOUR)
    assert not await stage.accepts(key, "first")
    assert await stage.accepts(key, "second")
    assert await stage.world.revoked() == [("api_key", key.api_key_id)]
    assert await stage.world.deeds() == ["key.create", "key.rotate"]


async def test_a_key_rotated_twice_in_the_grace_forgets_the_first_secret(stage: KeyStage) -> None:
    key = await stage.make(await stage.person())
    await stage.rotate(key, "second", HOUR)
    await stage.rotate(key, "third", HOUR)
    assert [await stage.accepts(key, text) for text in ("first", "second", "third")] == [False, True, True]
    assert await stage.world.revoked() == [("api_key", key.api_key_id)] * 2


async def test_without_grace_the_old_secret_ends_at_once_and_the_one_before_it_too(stage: KeyStage) -> None:
    key = await stage.make(await stage.person())
    await stage.rotate(key, "second", HOUR)
    rotated = await stage.rotate(key, "third", NONE)
    assert near(rotated.old_expire_time, datetime.now(UTC))
    assert [await stage.accepts(key, text) for text in ("first", "second", "third")] == [False, False, True]


async def test_the_grace_does_not_outlive_the_key(stage: KeyStage) -> None:
    expires = datetime.now(UTC) + HOUR
    key = await stage.make(await stage.person(), expire_time=expires)
    rotated = await stage.rotate(key, "second", DAY)
    assert rotated.old_expire_time == expires
    owner = await stage.keys.owner(key.public_id, digest("second"))
    assert owner is not None
    assert owner.expire_time == expires
    await stage.world.pass_time(HOUR)
    assert not await stage.accepts(key, "first")
    assert not await stage.accepts(key, "second")


async def test_a_repeated_rotation_changes_nothing(stage: KeyStage) -> None:
    ana, held = await stage.person(), key_claim()
    key = await stage.make(ana)
    rotated = await stage.rotate(key, "second", HOUR, held)
    again = await stage.rotate(key, "third", HOUR, held)
    assert (rotated.repeated, again.repeated) == (False, True)
    assert again.old_expire_time == rotated.old_expire_time
    assert [await stage.accepts(key, text) for text in ("first", "second", "third")] == [True, True, False]
    assert await stage.world.deeds() == ["key.create", "key.rotate"]
    with pytest.raises(AlreadyExists) as refused:
        await stage.rotate(key, "third", HOUR, key_claim(b"another", held.request_id))
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await stage.keys.revoke(ana, key.api_key_id, key_deed("key.revoke", ana))
    assert (await stage.rotate(key, "third", HOUR, held)).repeated


async def test_rotations_at_once_leave_the_last_two_secrets(stage: KeyStage) -> None:
    key = await stage.make(await stage.person())
    by, both = key_deed("key.rotate", key.user_id), (stage.keys, stage.other)
    await asyncio.gather(
        *(both[n % 2].rotate(key.user_id, key.api_key_id, digest(f"next-{n}"), HOUR, by) for n in range(10))
    )
    assert not await stage.accepts(key, "first")
    assert [await stage.accepts(key, f"next-{n}") for n in range(10)].count(True) == 2


async def test_one_rotation_repeated_at_once_is_done_once(stage: KeyStage) -> None:
    key, held = await stage.make(await stage.person()), key_claim()
    by, both = key_deed("key.rotate", key.user_id), (stage.keys, stage.other)
    done = await asyncio.gather(
        *(
            both[n % 2].rotate(key.user_id, key.api_key_id, digest(f"next-{n}"), HOUR, by, held)
            for n in range(6)
        )
    )
    assert [result.repeated for result in done if result].count(False) == 1
    accepted = [await stage.accepts(key, f"next-{n}") for n in range(6)]
    assert accepted == [not result.repeated for result in done if result]


async def test_an_ended_key_is_refused_and_not_rotated(stage: KeyStage) -> None:
    ana = await stage.person()
    revoked = await stage.make(ana)
    expired = await stage.make(ana, expire_time=datetime.now(UTC) + HOUR)
    await stage.rotate(revoked, "second", HOUR)
    assert await stage.keys.revoke(ana, revoked.api_key_id, key_deed("key.revoke", ana))
    assert not await stage.accepts(revoked, "first")
    assert not await stage.accepts(revoked, "second")
    await stage.world.pass_time(HOUR)
    assert not await stage.accepts(expired, "first")
    for key in (revoked, expired):
        held = key_claim()
        for _ in range(2):
            with pytest.raises(ApiKeyEnded):
                await stage.rotate(key, "third", HOUR, held)
    assert await stage.keys.revoke(ana, expired.api_key_id, key_deed("key.revoke", ana))


async def test_revoking_again_changes_nothing(stage: KeyStage) -> None:
    ana = await stage.person()
    key = await stage.make(ana)
    for _ in range(3):
        assert await stage.keys.revoke(ana, key.api_key_id, key_deed("key.revoke", ana))
    assert await stage.world.revoked() == [("api_key", key.api_key_id)]
    assert await stage.world.deeds() == ["key.create", "key.revoke"]
    found = await stage.keys.get(ana, key.api_key_id)
    assert found is not None
    assert near(found.revoke_time, datetime.now(UTC))


async def test_keys_of_the_disabled_and_the_deleted_are_refused(stage: KeyStage) -> None:
    ana, ben = await stage.person(), await stage.person()
    hers, his = await stage.make(ana), await stage.make(ben)
    await stage.world.disable(ana)
    await stage.world.delete(ben)
    assert not await stage.accepts(hers, "first")
    assert not await stage.accepts(his, "first")
    assert await stage.keys.get(ana, hers.api_key_id) == hers
    assert await stage.keys.get(ben, his.api_key_id) is None


async def test_a_use_is_noted_once_a_minute(stage: KeyStage) -> None:
    ana = await stage.person()
    key = await stage.make(ana)

    async def last_use() -> datetime | None:
        found = await stage.keys.get(ana, key.api_key_id)
        assert found is not None
        return found.last_use_time

    await stage.keys.owner(key.public_id, digest("wrong"))
    assert await last_use() is None
    both = (stage.keys, stage.other)
    await asyncio.gather(*(both[n % 2].owner(key.public_id, digest("first")) for n in range(20)))
    first = await last_use()
    assert near(first, datetime.now(UTC))
    assert await stage.accepts(key, "first")
    assert await last_use() == first
    await stage.world.pass_time(timedelta(seconds=61))
    before = await last_use()
    assert await stage.accepts(key, "first")
    after = await last_use()
    assert before is not None
    assert after is not None
    assert after - before > timedelta(minutes=1)


@pytest.fixture
async def postgres(migrated_url: str) -> AsyncIterator[KeyStage]:
    async with Database(migrated_url, min_size=1, max_size=6) as database:
        keys = sql_keys(database)
        yield KeyStage(keys, keys, InPostgres(database))


async def test_a_key_that_is_being_changed_is_not_waited_for(postgres: KeyStage) -> None:
    key = await postgres.make(await postgres.person())
    assert isinstance(postgres.world, InPostgres)
    async with postgres.world.database.transaction() as connection:
        await connection.execute("select from auth.api_keys for update")
        async with asyncio.timeout(5):
            assert await postgres.accepts(key, "first")
    found = await postgres.keys.get(key.user_id, key.api_key_id)
    assert found is not None
    assert found.last_use_time is None


@pytest.mark.parametrize("deed", ["create", "rotate", "revoke"])
async def test_a_key_that_is_being_revoked_does_nothing_more(postgres: KeyStage, deed: str) -> None:
    ana = await postgres.person()
    key, other = await postgres.make(ana, "first"), await postgres.make(ana, "other")
    standing = Standing(api_key_id=key.api_key_id)
    by = Deed(f"key.{deed}", ana, Origin(ana, "192.0.2.1", {"api_key_id": key.api_key_id}, standing))
    world = postgres.world
    assert isinstance(world, InPostgres)

    async def attempt() -> object:
        if deed == "create":
            return await postgres.keys.add(new_key(ana, "second"), by)
        if deed == "rotate":
            return await postgres.keys.rotate(ana, other.api_key_id, digest("second"), HOUR, by)
        return await postgres.keys.revoke(ana, other.api_key_id, by)

    async with world.database.transaction() as connection:
        await connection.execute("select from auth.users where id = %s for no key update", (ana,))
        waiting = asyncio.create_task(attempt())
        await until(
            lambda: world.run(
                "select 1 from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            )
        )
        statement = "update auth.api_keys set revoked_at = now() where id = %s"
        await connection.execute(statement, (key.api_key_id,))
    with pytest.raises(StandingLost):
        await waiting
    assert [found.api_key_id for found in (await postgres.keys.list(ana, PageRequest())).items] == [
        other.api_key_id,
        key.api_key_id,
    ]
    assert await postgres.accepts(other, "other")
    assert await world.deeds() == ["key.create"] * 2


async def test_a_key_is_accepted_when_its_use_can_not_be_noted(postgres: KeyStage) -> None:
    key = await postgres.make(await postgres.person())
    assert isinstance(postgres.world, InPostgres)
    await postgres.world.run(
        "create function auth.refuse_use() returns trigger language plpgsql as"
        " $$ begin raise exception 'read-only' using errcode = '25006'; end $$"
    )
    await postgres.world.run(
        "create trigger refuse before update on auth.api_keys for each row execute function auth.refuse_use()"
    )
    assert await postgres.accepts(key, "first")


async def test_no_secret_is_in_the_tables(postgres: KeyStage) -> None:
    ana = await postgres.person()
    key = await postgres.make(ana, "a secret of 256 bits")
    await postgres.rotate(key, "another secret", HOUR, key_claim())
    assert isinstance(postgres.world, InPostgres)
    for table in ("api_keys", "claims", "audit_events", "revocations"):
        rows = await postgres.world.run(f"select t::text from auth.{table} t")
        for secret in ("a secret of 256 bits", "another secret"):
            assert not [row for row in rows if secret in row[0] or secret.encode().hex() in row[0]]
