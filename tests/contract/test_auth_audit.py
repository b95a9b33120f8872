"""The promises of `ports.AuditTrail`, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from services.auth.model.audit import AuditEvent, Deed, Origin
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.auth_stores import Stores, deed, sql_stores

EVERYTHING = PageRequest(100)


async def test_a_line_tells_who_did_what_to_whom_when_and_from_where(stores: Stores) -> None:
    ana, admin, key = new_id(), new_id(), new_id()
    origin = Origin(admin, "192.0.2.7", {"api_key_id": key, "service": "chat"})
    await stores.audit.record(Deed("user.update", ana, origin, {"role": "admin"}))
    await stores.audit.record(Deed("user.login_failed", "", Origin("", "2001:db8::1")))
    failed, updated = (await stores.audit.events("", EVERYTHING)).items
    assert abs(updated.create_time - datetime.now(UTC)) < timedelta(minutes=1)
    assert updated == AuditEvent(
        updated.audit_event_id,
        "user.update",
        admin,
        ana,
        "192.0.2.7",
        updated.create_time,
        {"api_key_id": key, "service": "chat", "role": "admin"},
    )
    assert (failed.action, failed.actor_id, failed.user_id, failed.address, failed.attributes) == (
        "user.login_failed",
        "",
        "",
        "2001:db8::1",
        {},
    )


async def test_an_accounts_lines_are_those_about_it_and_those_by_it(stores: Stores) -> None:
    ana, admin = new_id(), new_id()
    by_admin, by_ana = Origin(admin, "192.0.2.1"), Origin(ana, "192.0.2.2")
    await stores.audit.record(Deed("user.create", ana, by_admin))
    await stores.audit.record(Deed("user.login", ana, by_ana))
    await stores.audit.record(Deed("user.login", admin, by_admin))
    for user_id, actions in ((ana, ["user.login", "user.create"]), (admin, ["user.login", "user.create"])):
        page = await stores.audit.events(user_id, EVERYTHING)
        assert [line.action for line in page.items] == actions
    assert len((await stores.audit.events("", EVERYTHING)).items) == 3
    assert list((await stores.audit.events(new_id(), EVERYTHING)).items) == []


async def test_the_trail_pages_newest_first_without_a_gap(stores: Stores) -> None:
    ana = new_id()
    for number in range(7):
        await stores.audit.record(deed(f"user.act{number}", ana if number % 2 else ""))
    for user_id in ("", ana):
        expected = list((await stores.audit.events(user_id, EVERYTHING)).items)
        assert len(expected) >= 3
        seen: list[AuditEvent] = []
        after: str | None = None
        while not seen or after is not None:
            page = await stores.audit.events(user_id, PageRequest(2, after))
            seen += page.items
            after = page.after
            # What happens meanwhile is newer than what was read.
            await stores.audit.record(deed("user.later", ana))
        assert [line.audit_event_id for line in seen] == [line.audit_event_id for line in expected]
    newest = (await stores.audit.events("", EVERYTHING)).items
    skipped = await stores.audit.events("", PageRequest(1, newest[0].audit_event_id, 1))
    assert [line.audit_event_id for line in skipped.items] == [newest[2].audit_event_id]


async def test_lines_written_at_once_are_all_kept(stores: Stores) -> None:
    ana = new_id()
    both = (stores.audit, stores.other.audit)
    await asyncio.gather(*(both[number % 2].record(deed("user.login", ana)) for number in range(20)))
    lines = (await stores.audit.events(ana, EVERYTHING)).items
    assert len({line.audit_event_id for line in lines}) == 20


async def test_the_trail_outlives_the_account(stores: Stores) -> None:
    ana = await stores.add()
    await stores.accounts.delete(ana.user_id, deed("user.delete", ana.user_id))
    lines = (await stores.audit.events(ana.user_id, EVERYTHING)).items
    assert [line.action for line in lines] == ["user.delete", "user.register"]


@pytest.mark.parametrize(
    "statement",
    [
        "update auth.audit_events set action = 'nothing'",
        "delete from auth.audit_events",
        "truncate auth.audit_events",
        "insert into auth.audit_events select * from auth.audit_events on conflict (id) do update set action = ''",
    ],
    ids=["update", "delete", "truncate", "upsert"],
)
async def test_nothing_changes_or_removes_a_line(migrated_url: str, statement: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        stores = sql_stores(database)
        ana = await stores.add()
        before = await stores.rows("select * from auth.audit_events")
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            await stores.rows(statement)
        assert await stores.rows("select * from auth.audit_events") == before
        assert await stores.trail() == [("user.register", ana.user_id)]


async def test_a_trail_on_a_database_that_went_away_is_unavailable(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        stores = sql_stores(database)
        await database.close()
        for call in (
            stores.audit.record(deed("user.login", new_id())),
            stores.audit.events("", EVERYTHING),
        ):
            with pytest.raises(Unavailable):
                await call
