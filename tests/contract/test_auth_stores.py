"""The promises of Auth's stores of sessions, of the first start and of signing keys, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.auth.errors import EmailTaken
from services.auth.model.accounts import AccountChanges, NewAccount, Role
from services.auth.model.sessions import NewSession, Verdict
from services.auth.model.signing_keys import KeyState, SealedKey
from services.auth.stores.sessions import SqlSessions
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from tests.fakes.auth_memory import Memory
from tests.fakes.auth_stores import (
    DAY,
    GRACE,
    SOMEWHERE,
    Stores,
    account,
    claim,
    deed,
    digest,
    sql_stores,
    successor,
)


async def test_a_session_opens_for_the_verified_password_alone(stores: Stores) -> None:
    user = await stores.add()
    login = deed("user.login", user.user_id)

    def session() -> NewSession:
        return NewSession(new_id(), user.user_id, digest(new_id()), "", DAY)

    assert await stores.sessions.open(session(), "another hash", login) is None
    assert await stores.sessions.open(session(), "hash-1", login, "hash-2") is not None
    found = await stores.accounts.with_email("ana@example.com")
    assert found is not None
    assert found.password_hash == "hash-2"
    await stores.accounts.update(user.user_id, AccountChanges(disabled=True), login)
    refused = await stores.sessions.open(session(), "hash-2", login)
    assert refused is not None
    assert refused.verdict is Verdict.DISABLED
    await stores.accounts.delete(user.user_id, login)
    assert await stores.sessions.open(session(), "hash-2", login) is None


async def test_a_rotated_token_replays_its_successor_within_the_grace(stores: Stores) -> None:
    session = await stores.open("first")
    rotated = await stores.sessions.refresh(digest("first"), successor("second"), GRACE, SOMEWHERE)
    again = await stores.sessions.refresh(digest("first"), successor("other"), GRACE, SOMEWHERE)
    assert rotated is not None
    assert again is not None
    assert (rotated.verdict, again.verdict) == (Verdict.ROTATED, Verdict.REPLAYED)
    assert rotated.sealed == again.sealed == (b"sealed second",)
    assert rotated.expire_time == again.expire_time
    assert rotated.session_id == again.session_id == session.session_id
    assert await stores.sessions.refresh(digest("other"), successor("x"), GRACE, SOMEWHERE) is None
    onward = await stores.sessions.refresh(digest("second"), successor("third"), GRACE, SOMEWHERE)
    assert onward is not None
    assert onward.verdict is Verdict.ROTATED


async def test_a_token_reused_after_the_grace_ends_its_session_and_no_other(stores: Stores) -> None:
    await stores.open("first")
    await stores.open("elsewhere", email="bob@example.com")
    nothing = timedelta()
    assert await stores.sessions.refresh(digest("first"), successor("second"), nothing, SOMEWHERE) is not None
    reused = await stores.sessions.refresh(digest("first"), successor("third"), nothing, SOMEWHERE)
    assert reused is not None
    assert (reused.verdict, reused.sealed) == (Verdict.REUSED, ())
    for token in ("first", "second"):
        after = await stores.sessions.refresh(digest(token), successor("fourth"), GRACE, SOMEWHERE)
        assert after is not None
        assert after.verdict is Verdict.REVOKED
    other = await stores.sessions.refresh(digest("elsewhere"), successor("fifth"), GRACE, SOMEWHERE)
    assert other is not None
    assert other.verdict is Verdict.ROTATED


async def test_a_token_expires(stores: Stores) -> None:
    await stores.open("first", timedelta())
    refused = await stores.sessions.refresh(digest("first"), successor("second"), GRACE, SOMEWHERE)
    assert refused is not None
    assert refused.verdict is Verdict.EXPIRED


async def test_a_disabled_person_refreshes_nothing(stores: Stores) -> None:
    session = await stores.open("first")
    await stores.accounts.update(
        session.user_id, AccountChanges(disabled=True), deed("user.update", session.user_id)
    )
    refused = await stores.sessions.refresh(digest("first"), successor("second"), GRACE, SOMEWHERE)
    assert refused is not None
    assert refused.verdict is Verdict.DISABLED
    assert await stores.sessions.refresh(digest("second"), successor("third"), GRACE, SOMEWHERE) is None


async def test_revoking_by_any_token_of_a_session_ends_it_once_and_for_all(stores: Stores) -> None:
    await stores.open("first")
    await stores.sessions.refresh(digest("first"), successor("second"), GRACE, SOMEWHERE)
    await stores.sessions.revoke(digest("first"), SOMEWHERE)
    await stores.sessions.revoke(digest("first"), SOMEWHERE)
    await stores.sessions.revoke(digest("unknown"), SOMEWHERE)
    refused = await stores.sessions.refresh(digest("second"), successor("third"), GRACE, SOMEWHERE)
    assert refused is not None
    assert refused.verdict is Verdict.REVOKED


async def test_fifty_refreshes_at_once_in_two_processes_leave_one_successor(stores: Stores) -> None:
    await stores.open("first")
    both = (stores.sessions, stores.other.sessions)
    results = await asyncio.gather(
        *(both[n % 2].refresh(digest("first"), successor(f"next-{n}"), GRACE, SOMEWHERE) for n in range(50))
    )
    assert len({result.sealed for result in results if result}) == 1
    verdicts = [result.verdict for result in results if result]
    assert verdicts.count(Verdict.ROTATED) == 1
    assert verdicts.count(Verdict.REPLAYED) == 49
    alive = 0
    for n in range(50):
        alive += (
            await stores.sessions.refresh(digest(f"next-{n}"), successor(f"later-{n}"), GRACE, SOMEWHERE)
            is not None
        )
    assert alive == 1


async def test_a_revocation_during_rotations_leaves_no_token_alive(stores: Stores) -> None:
    for round_ in range(5):
        first = f"{round_}-0"
        await stores.open(first, email=f"{round_}@example.com")

        async def rotate(round_: int = round_) -> list[str]:
            made = [f"{round_}-0"]
            for n in range(1, 10):
                made.append(f"{round_}-{n}")
                await stores.sessions.refresh(digest(made[-2]), successor(made[-1]), GRACE, SOMEWHERE)
            return made

        made, _ = await asyncio.gather(rotate(), stores.other.sessions.revoke(digest(first), SOMEWHERE))
        for token in made:
            result = await stores.sessions.refresh(digest(token), successor(f"{token}-x"), GRACE, SOMEWHERE)
            assert result is None or result.verdict is Verdict.REVOKED


async def test_the_first_administrator_is_renewed_until_the_password_was_shown(stores: Stores) -> None:
    assert await stores.setup.needs_administrator()
    first = account("admin@example.com", role=Role.ADMIN)
    assert await stores.setup.put_administrator(first) == first.user_id
    assert await stores.setup.needs_administrator()
    renewed = NewAccount(new_id(), "root@example.com", "hash-2", role=Role.ADMIN)
    assert await stores.setup.put_administrator(renewed) == first.user_id
    found = await stores.accounts.with_email("root@example.com")
    assert found is not None
    assert (found.user.user_id, found.password_hash, found.user.role) == (first.user_id, "hash-2", Role.ADMIN)
    assert await stores.accounts.with_email("admin@example.com") is None
    await stores.setup.password_was_shown(first.user_id)
    assert not await stores.setup.needs_administrator()
    assert await stores.setup.put_administrator(account("late@example.com", role=Role.ADMIN)) is None
    assert await stores.trail() == [
        ("user.create", first.user_id),
        ("user.reset_password", first.user_id),
    ]


async def test_an_administrator_who_has_logged_in_keeps_the_password(stores: Stores) -> None:
    admin = account("admin@example.com", role=Role.ADMIN)
    await stores.setup.put_administrator(admin)
    session = NewSession(new_id(), admin.user_id, digest("first"), "", DAY)
    assert await stores.sessions.open(session, "hash-1", deed("user.login", admin.user_id)) is not None
    assert not await stores.setup.needs_administrator()
    assert await stores.setup.put_administrator(account("other@example.com", role=Role.ADMIN)) is None
    if isinstance(stores.state, Memory):
        stores.state.tokens.clear()
    else:
        await stores.rows("with gone as (delete from auth.sessions returning id) select id from gone")
    assert not await stores.setup.needs_administrator()


async def test_an_ordinary_account_does_not_become_administrator(stores: Stores) -> None:
    await stores.add("admin@example.com")
    with pytest.raises(EmailTaken):
        await stores.setup.put_administrator(account("ADMIN@example.com", role=Role.ADMIN))


async def test_one_process_at_a_time_sets_up(stores: Stores) -> None:
    async with stores.setup.alone() as first, stores.other.setup.alone() as second:
        assert (first, second) == (True, False)
    async with stores.other.setup.alone() as next_:
        assert next_


async def test_the_first_signing_keys_are_stored_once(stores: Stores) -> None:

    def pair(number: int) -> tuple[SealedKey, SealedKey]:
        return (
            SealedKey(f"a{number}", KeyState.ACTIVE, b"sealed", "pem"),
            SealedKey(f"n{number}", KeyState.NEXT, b"sealed", "pem"),
        )

    assert list(await stores.signing_keys.all()) == []
    both = (stores.signing_keys, stores.other.signing_keys)
    await asyncio.gather(*(both[number % 2].add_first(*pair(number)) for number in range(8)))
    kept = list(await stores.signing_keys.all())
    assert [key.state for key in kept] == [KeyState.ACTIVE, KeyState.NEXT]
    assert kept[0].kid[1:] == kept[1].kid[1:]
    assert kept[0].sealed_private == b"sealed"


async def test_what_expired_long_ago_is_forgotten(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=4) as database:
        stores = sql_stores(database)
        await stores.open("old")
        await stores.open("young", email="bob@example.com")
        async with database.connection() as connection:
            await connection.execute(
                "update auth.sessions set expires_at = now() - interval '25 hours' where refresh_token = %s",
                (digest("old"),),
            )
        sessions = stores.sessions
        assert isinstance(sessions, SqlSessions)
        assert [await sessions.prune(), await sessions.prune()] == [1, 0]
        assert await stores.sessions.refresh(digest("old"), successor("a"), GRACE, SOMEWHERE) is None
        assert await stores.sessions.refresh(digest("young"), successor("b"), GRACE, SOMEWHERE) is not None


async def test_a_database_that_went_away_is_unavailable(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        stores = sql_stores(database)
        await stores.open("first")
        await database.close()
        for call in (
            stores.accounts.get(new_id()),
            stores.accounts.add(account("bob@example.com"), deed("user.register", new_id()), claim()),
            stores.sessions.refresh(digest("first"), successor("second"), GRACE, SOMEWHERE),
            stores.setup.needs_administrator(),
            stores.signing_keys.all(),
        ):
            with pytest.raises(Unavailable):
                await call
