"""Listing, ending and outliving login sessions: the promises of `ports.sessions.Sessions`, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from datetime import timedelta

import pytest

from services.auth.model.accounts import Role
from services.auth.model.audit import Deed, Origin
from services.auth.model.sessions import NewSession, Refreshed, Verdict
from services.auth.ports.sessions import Sessions
from services.auth.stores.revocations import SqlRevocations
from services.auth.stores.sessions import SqlSessions
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.auth_stores import (
    DAY,
    GRACE,
    SOMEWHERE,
    Stores,
    account,
    digest,
    sql_stores,
    successor,
)

NOW = timedelta()


@dataclass
class Stage:
    """The stores of two processes, and somebody who logs in."""

    stores: Stores

    @property
    def sessions(self) -> Sessions:
        return self.stores.sessions

    @property
    def other(self) -> Sessions:
        return self.stores.other.sessions

    async def person(self, email: str = "ana@example.com") -> str:
        return (await self.stores.add(email)).user_id

    async def open(self, user_id: str, token: str, device: str = "laptop", life: timedelta = DAY) -> str:
        session = NewSession(new_id(), user_id, digest(token), device, life)
        opened = await self.sessions.open(session, "hash-1", Deed("user.login", user_id, SOMEWHERE))
        assert opened is not None
        assert opened.verdict is Verdict.ROTATED
        return session.session_id

    async def refresh(self, token: str, following: str, grace: timedelta = GRACE) -> Refreshed | None:
        return await self.sessions.refresh(digest(token), successor(following), grace, SOMEWHERE)

    async def verdict(self, token: str) -> Verdict | None:
        refreshed = await self.refresh(token, new_id())
        return None if refreshed is None else refreshed.verdict

    async def ids(self, user_id: str, page: PageRequest | None = None) -> list[str]:
        return [one.session_id for one in (await self.sessions.list(user_id, page or PageRequest())).items]

    async def password_hash(self, user_id: str) -> str | None:
        account = await self.stores.accounts.with_id(user_id)
        return None if account is None else account.password_hash

    async def revoked(self) -> list[str]:
        """The sessions that were revoked, in order."""
        found = await self.stores.revoked()
        assert {kind for kind, _ in found} <= {"session"}
        return [subject for _, subject in found]

    async def lines(self, action: str) -> list[tuple[str, str, dict[str, str]]]:
        """Actor, account and attributes of the lines of the trail with this action, oldest first."""
        events = (await self.stores.audit.events("", PageRequest(size=100))).items
        return [
            (event.actor_id, event.user_id, dict(event.attributes))
            for event in reversed(events)
            if event.action == action
        ]


@pytest.fixture
def stage(stores: Stores) -> Stage:
    return Stage(stores)


def deed(user_id: str, action: str = "session.revoke") -> Deed:
    return Deed(action, user_id, Origin(user_id, "192.0.2.1"))


async def test_a_person_sees_each_login_once_however_often_it_was_refreshed(stage: Stage) -> None:
    ana, bob = await stage.person(), await stage.person("bob@example.com")
    laptop = await stage.open(ana, "laptop-1")
    phone = await stage.open(ana, "phone-1", "phone")
    await stage.open(bob, "bob-1")
    (before,) = [s for s in (await stage.sessions.list(ana, PageRequest())).items if s.session_id == laptop]
    assert await stage.refresh("laptop-1", "laptop-2") is not None
    assert await stage.refresh("laptop-2", "laptop-3") is not None
    page = await stage.sessions.list(ana, PageRequest())
    assert [(one.session_id, one.device_name) for one in page.items] == [
        (phone, "phone"),
        (laptop, "laptop"),
    ]
    assert page.after is None
    after = page.items[1]
    assert before.create_time == before.last_use_time == after.create_time < after.last_use_time
    assert before.expire_time < after.expire_time


async def test_ended_and_expired_logins_are_not_listed(stage: Stage) -> None:
    ana = await stage.person()
    await stage.open(ana, "expired", life=NOW)
    await stage.open(ana, "left")
    ended = await stage.open(ana, "ended")
    stolen = await stage.open(ana, "stolen-1")
    kept = await stage.open(ana, "kept")
    assert stolen in await stage.ids(ana)
    await stage.sessions.revoke(digest("left"), SOMEWHERE)
    assert await stage.sessions.end(ana, ended, deed(ana))
    await stage.refresh("stolen-1", "stolen-2", NOW)
    reused = await stage.refresh("stolen-1", "stolen-3", NOW)
    assert reused is not None
    assert reused.verdict is Verdict.REUSED
    assert await stage.ids(ana) == [kept]
    assert await stage.ids(new_id()) == []


async def test_logins_come_in_pages(stage: Stage) -> None:
    ana = await stage.person()
    opened = [await stage.open(ana, f"token-{n}") for n in range(5)]
    found: list[str] = []
    after: str | None = None
    for expected in (2, 2, 1):
        page = await stage.sessions.list(ana, PageRequest(size=2, after=after))
        assert len(page.items) == expected
        found += [one.session_id for one in page.items]
        after = page.after
    assert after is None
    assert found == sorted(opened, reverse=True)
    assert await stage.ids(ana, PageRequest(size=2, skip=2)) == found[2:4]
    assert await stage.ids(ana, PageRequest(size=2, after=found[1], skip=1)) == found[3:5]


async def test_a_login_is_ended_once_and_every_process_learns_of_it(stage: Stage) -> None:
    ana, bob = await stage.person(), await stage.person("bob@example.com")
    ended, kept = await stage.open(ana, "ended-1"), await stage.open(ana, "kept")
    await stage.refresh("ended-1", "ended-2")
    assert not await stage.sessions.end(bob, ended, deed(bob))
    assert not await stage.sessions.end(ana, new_id(), deed(ana))
    assert not await stage.sessions.end(new_id(), ended, deed(ana))
    assert await stage.verdict("ended-2") is Verdict.ROTATED
    for sessions in (stage.sessions, stage.other):
        assert await sessions.end(ana, ended, deed(ana))
    assert await stage.verdict("ended-2") is await stage.verdict("ended-1") is Verdict.REVOKED
    assert await stage.verdict("kept") is Verdict.ROTATED
    assert await stage.ids(ana) == [kept]
    assert await stage.revoked() == [ended]
    assert await stage.lines("session.revoke") == [(ana, ana, {"session_id": ended})]


async def test_a_logout_is_the_owners_deed_and_a_reuse_nobodys(stage: Stage) -> None:
    ana = await stage.person()
    left, stolen = await stage.open(ana, "left"), await stage.open(ana, "stolen")
    for _ in range(2):
        await stage.sessions.revoke(digest("left"), SOMEWHERE)
    await stage.refresh("stolen", "following", NOW)
    for _ in range(2):
        await stage.refresh("stolen", "other", NOW)
    assert await stage.lines("user.logout") == [(ana, ana, {"session_id": left})]
    assert await stage.lines("session.reuse") == [("", ana, {"session_id": stolen})]
    assert await stage.revoked() == [left, stolen]


async def test_a_new_password_ends_every_login_but_the_callers(stage: Stage) -> None:
    ana, bob = await stage.person(), await stage.person("bob@example.com")
    kept = await stage.open(ana, "kept-1")
    others = [await stage.open(ana, f"other-{n}-1") for n in range(3)]
    gone = await stage.open(ana, "gone")
    await stage.sessions.revoke(digest("gone"), SOMEWHERE)
    await stage.open(bob, "bob")
    for name in ("kept", "other-0"):
        await stage.refresh(f"{name}-1", f"{name}-2")
    assert await stage.sessions.change_password(
        ana, "hash-1", "hash-2", kept, deed(ana, "user.change_password")
    )
    assert await stage.password_hash(ana) == "hash-2"
    assert await stage.ids(ana) == [kept]
    for token in ("other-0-1", "other-0-2", "other-1-1"):
        assert await stage.verdict(token) is Verdict.REVOKED
    assert await stage.verdict("kept-2") is await stage.verdict("bob") is Verdict.ROTATED
    assert await stage.revoked() == [gone, *sorted(others)]
    assert await stage.lines("user.change_password") == [(ana, ana, {})]


async def test_a_password_that_was_changed_meanwhile_is_not_changed_again(stage: Stage) -> None:
    ana = await stage.person()
    await stage.open(ana, "first")

    async def change(sessions: Sessions, verified: str | None, new: str, user_id: str = ana) -> bool:
        return await sessions.change_password(user_id, verified, new, "", deed(user_id, "change"))

    both = await asyncio.gather(
        change(stage.sessions, "hash-1", "hash-2"), change(stage.other, "hash-1", "hash-3")
    )
    assert sorted(both) == [False, True]
    assert len(await stage.lines("change")) == len(await stage.revoked()) == 1
    # Somebody who may do so without the old one, such as an operator.
    assert await change(stage.sessions, None, "hash-4")
    assert not await change(stage.sessions, None, "hash-4", new_id())
    assert await stage.password_hash(ana) == "hash-4"
    assert await stage.verdict("first") is Verdict.REVOKED


async def test_no_login_with_the_old_password_outlives_a_new_one(stage: Stage) -> None:
    for round_ in range(4):
        ana = await stage.person(f"{round_}@example.com")

        async def log_in(number: int, user_id: str = ana) -> Refreshed | None:
            session = NewSession(new_id(), user_id, digest(f"{user_id}-{number}"), "", DAY)
            return await stage.other.open(session, "hash-1", deed(user_id, "user.login"))

        changing = stage.sessions.change_password(ana, "hash-1", "hash-2", "", deed(ana, "change"))
        *opened, changed = await asyncio.gather(*(log_in(number) for number in range(6)), changing)
        assert changed
        assert await stage.ids(ana) == []
        ended = await stage.revoked()
        assert all(one.session_id in ended for one in opened if isinstance(one, Refreshed))


async def test_refreshes_during_the_end_of_a_login_leave_no_token_alive(stage: Stage) -> None:
    ana = await stage.person()
    for round_ in range(4):
        session_id = await stage.open(ana, f"{round_}-0")

        async def rotate(round_: int = round_) -> None:
            for number in range(8):
                await stage.refresh(f"{round_}-{number}", f"{round_}-{number + 1}")

        _, ended = await asyncio.gather(rotate(), stage.other.end(ana, session_id, deed(ana)))
        assert ended
        for number in range(9):
            assert await stage.verdict(f"{round_}-{number}") in (None, Verdict.REVOKED)
    assert await stage.ids(ana) == []


async def test_fifty_refreshes_at_once_in_two_processes_leave_one_living_successor(stage: Stage) -> None:
    ana = await stage.person()
    session_id = await stage.open(ana, "first")
    both = (stage.sessions, stage.other)
    answers = await asyncio.gather(
        *(both[n % 2].refresh(digest("first"), successor(f"next-{n}"), GRACE, SOMEWHERE) for n in range(50))
    )
    found = [answer for answer in answers if answer is not None]
    assert len(found) == 50
    assert {one.verdict for one in found} == {Verdict.ROTATED, Verdict.REPLAYED}
    assert [one.verdict for one in found].count(Verdict.ROTATED) == 1
    assert len({(one.sealed, one.expire_time, one.session_id) for one in found}) == 1
    living = found[0].sealed[0].removeprefix(b"sealed ").decode()
    verdicts = {f"next-{n}": await stage.verdict(f"next-{n}") for n in range(50)}
    assert {name for name, verdict in verdicts.items() if verdict is not None} == {living}
    assert verdicts[living] is Verdict.ROTATED
    assert await stage.ids(ana) == [session_id]
    assert await stage.revoked() == []


async def test_an_administrator_who_chose_a_password_is_shown_none(stage: Stage) -> None:
    admin = account("admin@example.com", role=Role.ADMIN)
    await stage.stores.setup.put_administrator(admin)
    assert await stage.stores.setup.needs_administrator()
    assert await stage.sessions.change_password(admin.user_id, None, "hash-2", "", deed(admin.user_id))
    assert not await stage.stores.setup.needs_administrator()


async def test_only_what_ended_something_is_announced(migrated_url: str) -> None:
    announced: list[int] = []
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        feed = SqlRevocations(database, timedelta(minutes=15))
        feed.call_when_added(lambda: announced.append(1))
        stage = Stage(dataclasses.replace(sql_stores(database), sessions=SqlSessions(database, feed)))
        ana = await stage.person()
        ended = await stage.open(ana, "ended")
        await stage.open(ana, "left")
        await stage.refresh("left", "left-2")
        assert announced == []
        for _ in range(2):
            await stage.sessions.end(ana, ended, deed(ana))
            await stage.sessions.end(ana, new_id(), deed(ana))
            await stage.sessions.revoke(digest("left"), SOMEWHERE)
            await stage.sessions.revoke(digest("unknown"), SOMEWHERE)
        assert len(announced) == 2
        await stage.sessions.change_password(ana, "hash-1", "hash-2", "", deed(ana, "change"))
        assert not await stage.sessions.change_password(ana, "hash-1", "hash-2", "", deed(ana, "change"))
        assert len(announced) == 3


async def test_a_new_password_ends_tens_of_thousands_of_logins(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        stage = Stage(sql_stores(database))
        ana = await stage.person()
        async with database.connection() as connection:
            await connection.execute(
                "insert into auth.sessions (id, family_id, user_id, refresh_token, started_at, expires_at)"
                " select id, id, %s, sha256(id::text::bytea), now(), now() + interval '1 day'"
                " from (select gen_random_uuid() as id from generate_series(1, 25000)) as made",
                (ana,),
            )
        assert await stage.sessions.change_password(ana, "hash-1", "hash-2", "", deed(ana, "change"))
        assert await stage.ids(ana) == []
        assert await stage.stores.rows("select count(*) from auth.revocations") == [(25000,)]


async def test_a_refresh_writes_to_few_tokens_however_many_there_were_before(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        stage = Stage(sql_stores(database))
        await stage.open(await stage.person(), "0")
        for number in range(6):
            await stage.refresh(str(number), str(number + 1), NOW)
        rows = await stage.stores.rows(
            "select xmin::text, successor is null from auth.sessions order by created_at"
        )
    # The sealed successor goes with the refresh after next, and nothing is written any more after that.
    assert [bare for _, bare in rows] == [True] * 5 + [False, True]
    assert len({writer for writer, _ in rows}) == 5


async def test_a_database_that_went_away_is_unavailable(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        sessions = sql_stores(database).sessions
        await database.close()
        someone = new_id()
        for call in (
            sessions.list(someone, PageRequest()),
            sessions.end(someone, new_id(), deed(someone)),
            sessions.change_password(someone, None, "hash", "", deed(someone)),
        ):
            with pytest.raises(Unavailable):
                await call
