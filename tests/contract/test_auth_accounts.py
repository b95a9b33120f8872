"""The promises of `ports.Accounts`, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.auth.errors import EmailTaken, LastAdministrator, UsernameTaken
from services.auth.model.accounts import AccountChanges, NewAccount, Role, User
from services.auth.model.sessions import NewSession, Verdict
from services.infra.postgres.database import Database
from services.kernel.errors import AlreadyExists, NotFound, Unavailable
from services.kernel.ids import new_id
from services.kernel.paging import Page, PageRequest
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

EVERYTHING = PageRequest(100)


async def add(stores: Stores, new: NewAccount, **more: Any) -> User:
    return await stores.accounts.add(new, deed("user.register", new.user_id), **more)


async def change(stores: Stores, user_id: str, **changes: Any) -> User | None:
    return await stores.accounts.update(user_id, AccountChanges(**changes), deed("user.update", user_id))


async def remove(stores: Stores, user_id: str) -> bool:
    return await stores.accounts.delete(user_id, deed("user.delete", user_id))


async def test_an_account_is_found_by_its_email_in_any_case(stores: Stores) -> None:
    made = await add(stores, account("Ana@Example.com", username="Ana", display_name="Ana B"))
    found = await stores.accounts.with_email("ANA@example.COM")
    assert found is not None
    assert found.user == made == await stores.accounts.get(made.user_id)
    assert (made.email, made.username, made.role, made.disabled) == (
        "Ana@Example.com",
        "Ana",
        Role.USER,
        False,
    )
    assert found.password_hash == "hash-1"
    assert await stores.accounts.with_email("bob@example.com") is None
    assert await stores.accounts.with_email("a\0b") is None
    assert await stores.accounts.with_id(made.user_id) == found
    assert await stores.accounts.get(new_id()) is None
    assert await stores.accounts.with_id(new_id()) is None


async def test_an_email_and_a_username_are_taken_once(stores: Stores) -> None:
    await add(stores, account("ana@example.com", username="ana"))
    with pytest.raises(EmailTaken):
        await add(stores, account("ANA@example.com", username="ana"))
    with pytest.raises(UsernameTaken):
        await add(stores, account("other@example.com", username="ANA"))
    await add(stores, account("third@example.com"))
    await add(stores, account("fourth@example.com"))


async def test_a_claim_replays_the_account_it_made(stores: Stores) -> None:
    held = claim()
    made = await add(stores, account(), claim=held)
    assert await add(stores, account(), claim=held) == made
    with pytest.raises(AlreadyExists) as refused:
        await add(stores, account(), claim=claim(b"another", held.request_id))
    assert refused.value.reason == "REQUEST_ID_REUSED"
    await remove(stores, made.user_id)
    with pytest.raises(NotFound):
        await add(stores, account(), claim=held)


async def test_a_failed_account_leaves_no_claim_and_no_line_in_the_trail(stores: Stores) -> None:
    first = await add(stores, account())
    held = claim()
    with pytest.raises(EmailTaken):
        await add(stores, account(), claim=held)
    fresh = account("new@example.com")
    assert await stores.trail() == [("user.register", first.user_id)]
    assert (await add(stores, fresh, claim=held)).user_id == fresh.user_id


async def test_one_claim_at_once_in_two_processes_makes_one_account(stores: Stores) -> None:
    held = claim()
    both = (stores, stores.other)
    made = await asyncio.gather(*(add(both[number % 2], account(), claim=held) for number in range(10)))
    assert len({user.user_id for user in made}) == 1
    assert len(await stores.trail()) == 1


async def test_the_list_is_newest_first_and_pages_without_a_gap(stores: Stores) -> None:
    users = [await add(stores, account(f"{number}@example.com")) for number in range(5)]
    users.reverse()
    seen: list[User] = []
    page: Page[User] = Page([])
    for size in (2, 2, 1):
        page = await stores.accounts.list("", None, PageRequest(2, page.after))
        assert (len(page.items), page.total_size) == (size, 5)
        seen += page.items
    assert page.after is None
    assert seen == users
    skipped = await stores.accounts.list("", None, PageRequest(2, users[0].user_id, 1))
    assert (skipped.items, skipped.after) == (users[2:4], users[3].user_id)
    past = await stores.accounts.list("", None, PageRequest(2, None, 9))
    assert (list(past.items), past.after, past.total_size) == ([], None, 5)


async def test_the_list_is_narrowed_by_part_of_a_name_and_by_role(stores: Stores) -> None:
    ana = await add(stores, account("Ana@Example.com", username="Zoe.1", display_name="José Ñandú"))
    bob = await add(stores, account("bob_5%@example.org", role=Role.ADMIN, display_name="100% \\o/"))

    async def found(query: str, role: Role | None = None) -> list[User]:
        page = await stores.accounts.list(query, role, EVERYTHING)
        assert page.total_size == len(page.items)
        return list(page.items)

    assert await found("EXAMPLE.") == await found(" ") == [bob, ana]
    for query in ("ana@", "EXAMPLE.COM", "zoe.", "josé", "JOSÉ", "jose\u0301", "ñANDÚ", " ana@example.com "):
        assert await found(query) == [ana]
    for query in ("_5%", "100%", "\\", "o/", "B_5"):
        assert await found(query) == [bob]
    for query in ("n%m", "a_a", "%%", "/", "nobody", "a\0"):
        assert await found(query) == ([bob] if query == "/" else [])
    assert await found("", Role.ADMIN) == [bob]
    assert await found("example.com", Role.ADMIN) == await found("", Role.SERVICE) == []


async def test_an_update_changes_what_it_names(stores: Stores) -> None:
    ana = await add(stores, account(username="ana", display_name="Ana"))
    named = await change(stores, ana.user_id, username="Zoe")
    assert named is not None
    assert (named.username, named.display_name, named.email) == ("Zoe", "Ana", ana.email)
    assert named.update_time > ana.update_time
    assert named.create_time == ana.create_time
    unnamed = await change(stores, ana.user_id, username="", display_name="")
    assert unnamed is not None
    assert (unnamed.username, unnamed.display_name) == ("", "")
    assert await stores.accounts.get(ana.user_id) == unnamed
    await add(stores, account("bob@example.com", username="zoe"))
    assert await change(stores, new_id(), username="nobody") is None
    assert await stores.revoked() == []
    trail = await stores.trail()
    assert trail[1:3] == [("user.update", ana.user_id)] * 2
    assert len(trail) == 4


async def test_an_update_to_what_was_so_does_nothing(stores: Stores) -> None:
    ana = await add(stores, account(username="ana"))
    same = await change(stores, ana.user_id, username="ana", display_name="", role=Role.USER, disabled=False)
    assert same == ana
    assert await stores.revoked() == []
    assert await stores.trail() == [("user.register", ana.user_id)]


async def test_the_trail_tells_what_became_another_one(stores: Stores) -> None:
    ana = await add(stores, account(username="ana"))
    await add(stores, account("admin@example.com", role=Role.ADMIN))
    await change(stores, ana.user_id, username="ana", display_name="Ana", role=Role.USER, disabled=False)
    await change(stores, ana.user_id, display_name="Ana", role=Role.ADMIN)
    await change(stores, ana.user_id, username="zoe", role=Role.ADMIN, disabled=True)
    lines = (await stores.audit.events(ana.user_id, EVERYTHING)).items
    assert [line.attributes for line in lines if line.action == "user.update"] == [
        {"fields": "username", "disabled": "true"},
        {"role": "admin"},
        {"fields": "display_name"},
    ]


async def test_another_role_and_disabling_revoke_what_the_person_holds(stores: Stores) -> None:
    await add(stores, account("admin@example.com", role=Role.ADMIN))
    session = await stores.open("first")
    revisions = []
    steps: list[dict[str, Any]] = [
        {"role": Role.ADMIN},
        {"disabled": True},
        {"disabled": False, "role": Role.USER},
    ]
    for number, changes in enumerate(steps):
        assert await change(stores, session.user_id, **changes) is not None
        again = NewSession(new_id(), session.user_id, digest(f"again-{number}"), "", DAY)
        opened = await stores.sessions.open(again, "hash-1", deed("user.login", session.user_id))
        assert opened is not None
        revisions.append(opened.revision)
    assert await stores.revoked() == [("user", session.user_id)] * 3
    assert 0 < revisions[0] < revisions[2]
    assert revisions[1] == 0


async def test_a_login_from_before_the_account_was_disabled_does_not_come_back_with_it(
    stores: Stores,
) -> None:
    session = await stores.open("first")
    await stores.open("elsewhere", email="bob@example.com")

    async def verdict(token: str) -> Verdict:
        refreshed = await stores.sessions.refresh(digest(token), successor(new_id()), GRACE, SOMEWHERE)
        assert refreshed is not None
        return refreshed.verdict

    await stores.sessions.refresh(digest("first"), successor("second"), GRACE, SOMEWHERE)
    await change(stores, session.user_id, disabled=True)
    assert await verdict("first") is await verdict("second") is Verdict.DISABLED
    await change(stores, session.user_id, disabled=False)
    assert await verdict("first") is await verdict("second") is Verdict.REVOKED
    assert (await stores.sessions.list(session.user_id, EVERYTHING)).items == []
    assert await verdict("elsewhere") is Verdict.ROTATED
    assert await stores.revoked() == [("user", session.user_id)] * 2


async def test_a_username_is_given_to_one_account(stores: Stores) -> None:
    ana = await add(stores, account(username="ana"))
    bob = await add(stores, account("bob@example.com", username="bob"))
    for name in ("ANA", "ana"):
        with pytest.raises(UsernameTaken):
            await change(stores, bob.user_id, username=name)
    assert await stores.accounts.get(bob.user_id) == bob
    assert (await change(stores, ana.user_id, username="ANA")) is not None
    assert len(await stores.trail()) == 3


async def test_of_those_who_take_a_username_at_once_one_gets_it(stores: Stores) -> None:
    users = [await add(stores, account(f"{number}@example.com")) for number in range(6)]
    both = (stores, stores.other)
    attempts = [
        change(both[number % 2], user.user_id, username=f"zo{'eE'[number % 2]}")
        for number, user in enumerate(users)
    ]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, User) for result in results) == 1
    assert sum(isinstance(result, UsernameTaken) for result in results) == 5
    assert (await stores.accounts.list("zoe", None, EVERYTHING)).total_size == 1


async def test_a_deleted_account_is_gone_with_its_sessions_and_everybody_is_told(stores: Stores) -> None:
    session = await stores.open("first")
    await stores.open("elsewhere", email="bob@example.com")
    assert await remove(stores, session.user_id)
    assert await stores.accounts.get(session.user_id) is None
    assert await stores.accounts.with_email("ana@example.com") is None
    assert await stores.sessions.refresh(digest("first"), successor("x"), GRACE, SOMEWHERE) is None
    assert await stores.sessions.refresh(digest("elsewhere"), successor("y"), GRACE, SOMEWHERE) is not None
    assert await stores.revoked() == [("user_deleted", session.user_id)]
    assert (await stores.trail())[-1] == ("user.delete", session.user_id)
    assert not await remove(stores, session.user_id)
    assert len(await stores.revoked()) == 1
    again = await add(stores, account("ana@example.com"))
    assert again.user_id != session.user_id


async def test_the_last_administrator_stays_one(stores: Stores) -> None:
    admin = await add(stores, account("admin@example.com", role=Role.ADMIN))
    asleep = await add(stores, account("asleep@example.com", role=Role.ADMIN))
    await add(stores, account("ana@example.com"))
    assert await change(stores, asleep.user_id, disabled=True) is not None
    told = (await stores.trail(), await stores.revoked())
    for changes in ({"role": Role.USER}, {"disabled": True}, {"role": Role.SERVICE, "username": "root"}):
        with pytest.raises(LastAdministrator):
            await change(stores, admin.user_id, **changes)
    with pytest.raises(LastAdministrator):
        await remove(stores, admin.user_id)
    assert await stores.accounts.get(admin.user_id) == admin
    assert (await stores.trail(), await stores.revoked()) == told
    assert await change(stores, admin.user_id, display_name="Root", role=Role.ADMIN) is not None
    assert await remove(stores, asleep.user_id)
    await add(stores, account("next@example.com", role=Role.ADMIN))
    assert await change(stores, admin.user_id, role=Role.USER) is not None
    assert await remove(stores, admin.user_id)


@pytest.mark.parametrize("way", ["disable", "demote", "delete", "all of these"])
async def test_administrators_who_are_taken_away_at_once_leave_one(stores: Stores, way: str) -> None:
    """By two processes, each person by several calls at once."""

    async def take(process: Stores, user_id: str, number: int) -> object:
        ways = ("disable", "demote", "delete")
        chosen = ways[number % 3] if way == "all of these" else way
        if chosen == "delete":
            return await remove(process, user_id)
        return await change(
            process, user_id, **({"disabled": True} if chosen == "disable" else {"role": Role.USER})
        )

    for round_ in range(4):
        admins = [
            await add(stores, account(f"{round_}-{number}@example.com", role=Role.ADMIN))
            for number in range(4)
        ]
        left = (await stores.accounts.list("", Role.ADMIN, EVERYTHING)).items
        calls = [
            take((stores, stores.other)[number % 2], user.user_id, number)
            for number, user in enumerate([*left, *reversed(left)])
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        refused = [result for result in results if isinstance(result, Exception)]
        assert refused
        assert all(isinstance(error, LastAdministrator) for error in refused)
        after = await stores.accounts.list("", Role.ADMIN, EVERYTHING)
        assert len([user for user in after.items if user.administers]) == 1
        assert admins


async def test_a_role_and_a_deletion_at_once_end_one_way_or_the_other(stores: Stores) -> None:
    await add(stores, account("admin@example.com", role=Role.ADMIN))
    for number in range(4):
        user = await add(stores, account(f"{number}@example.com"))
        changed, deleted = await asyncio.gather(
            change(stores, user.user_id, role=Role.ADMIN), remove(stores.other, user.user_id)
        )
        assert deleted
        assert changed is None or changed.role is Role.ADMIN
        assert await stores.accounts.get(user.user_id) is None
        assert (await stores.revoked())[-1] == ("user_deleted", user.user_id)


async def test_accounts_on_a_database_that_went_away_are_unavailable(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        stores = sql_stores(database)
        await database.close()
        for call in (
            stores.accounts.get(new_id()),
            stores.accounts.with_id(new_id()),
            stores.accounts.list("", None, EVERYTHING),
            change(stores, new_id(), disabled=True),
            remove(stores, new_id()),
        ):
            with pytest.raises(Unavailable):
                await call
