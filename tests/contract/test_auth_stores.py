"""The promises of Auth's stores, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from services.auth.errors import EmailTaken, UsernameTaken
from services.auth.model import KeyState, NewAccount, NewSession, Role, SealedKey, Successor, Verdict
from services.auth.ports import Accounts, Sessions, Setup, SigningKeys
from services.auth.stores.accounts import SqlAccounts
from services.auth.stores.sessions import SqlSessions
from services.auth.stores.setup import SqlSetup
from services.auth.stores.signing_keys import SqlSigningKeys
from services.capabilities.claims.model import Claim
from services.infra.postgres.database import Database
from services.kernel.errors import AlreadyExists, NotFound, Unavailable
from services.kernel.ids import new_id
from tests.fakes.auth_memory import Memory, MemoryAccounts, MemorySessions, MemorySetup, MemorySigningKeys

DAY = timedelta(days=1)
GRACE = timedelta(seconds=30)


@dataclass
class Stores:
    """One process's stores; `other` are those of another process on the same database."""

    accounts: Accounts
    sessions: Sessions
    setup: Setup
    signing_keys: SigningKeys
    state: Any
    other: Stores | None = None

    async def disable(self, user_id: str) -> None:
        if isinstance(self.state, Memory):
            self.state.change(user_id, disabled=True)
        else:
            async with self.state.connection() as connection:
                await connection.execute("update auth.users set disabled = true where id = %s", (user_id,))

    async def delete(self, user_id: str) -> None:
        if isinstance(self.state, Memory):
            del self.state.accounts[user_id]
        else:
            async with self.state.connection() as connection:
                await connection.execute("delete from auth.users where id = %s", (user_id,))


def sql_stores(database: Database) -> Stores:
    return Stores(
        SqlAccounts(database), SqlSessions(database), SqlSetup(database), SqlSigningKeys(database), database
    )


@pytest.fixture(params=["memory", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        memory = Memory()
        setup = MemorySetup(memory)
        made = Stores(
            MemoryAccounts(memory), MemorySessions(memory), setup, MemorySigningKeys(memory), memory
        )
        made.other = made
        yield made
        return
    url = request.getfixturevalue("migrated_url")
    async with Database(url, min_size=1, max_size=8) as one, Database(url, min_size=1, max_size=8) as two:
        made = sql_stores(one)
        made.other = sql_stores(two)
        yield made


def account(email: str = "ana@example.com", **more: Any) -> NewAccount:
    return NewAccount(user_id=new_id(), email=email, password_hash="hash-1", **more)


def claim(body: bytes = b"body", request_id: str = "") -> Claim:
    return Claim("auth.register", request_id or str(uuid.uuid4()), hashlib.sha256(body).digest())


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def successor(token: str, lifetime: timedelta = DAY) -> Successor:
    return Successor(new_id(), digest(token), b"sealed " + token.encode(), lifetime)


async def opened(
    stores: Stores, token: str, lifetime: timedelta = DAY, email: str = "ana@example.com"
) -> NewSession:
    user = await stores.accounts.add(account(email))
    session = NewSession(new_id(), user.user_id, digest(token), "laptop", lifetime)
    assert await stores.sessions.open(session, "hash-1") is not None
    return session


async def test_an_account_is_found_by_its_email_in_any_case(stores: Stores) -> None:
    made = await stores.accounts.add(account("Ana@Example.com", username="Ana", display_name="Ana B"))
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
    assert await stores.accounts.get(new_id()) is None


async def test_an_email_and_a_username_are_taken_once(stores: Stores) -> None:
    await stores.accounts.add(account("ana@example.com", username="ana"))
    with pytest.raises(EmailTaken):
        await stores.accounts.add(account("ANA@example.com", username="ana"))
    with pytest.raises(UsernameTaken):
        await stores.accounts.add(account("other@example.com", username="ANA"))
    await stores.accounts.add(account("third@example.com"))
    await stores.accounts.add(account("fourth@example.com"))


async def test_a_claim_replays_the_account_it_made(stores: Stores) -> None:
    held = claim()
    made = await stores.accounts.add(account(), held)
    assert await stores.accounts.add(account(), held) == made
    with pytest.raises(AlreadyExists) as refused:
        await stores.accounts.add(account(), claim(b"another", held.request_id))
    assert refused.value.reason == "REQUEST_ID_REUSED"
    await stores.delete(made.user_id)
    with pytest.raises(NotFound):
        await stores.accounts.add(account(), held)


async def test_a_failed_account_leaves_no_claim(stores: Stores) -> None:
    await stores.accounts.add(account())
    held = claim()
    with pytest.raises(EmailTaken):
        await stores.accounts.add(account(), held)
    fresh = account("new@example.com")
    assert (await stores.accounts.add(fresh, held)).user_id == fresh.user_id


async def test_one_claim_at_once_in_two_processes_makes_one_account(stores: Stores) -> None:
    assert stores.other is not None
    held = claim()
    both = (stores.accounts, stores.other.accounts)
    made = await asyncio.gather(*(both[number % 2].add(account(), held) for number in range(10)))
    assert len({user.user_id for user in made}) == 1


async def test_a_session_opens_for_the_verified_password_alone(stores: Stores) -> None:
    user = await stores.accounts.add(account())

    def session() -> NewSession:
        return NewSession(new_id(), user.user_id, digest(new_id()), "", DAY)

    assert await stores.sessions.open(session(), "another hash") is None
    assert await stores.sessions.open(session(), "hash-1", "hash-2") is not None
    found = await stores.accounts.with_email("ana@example.com")
    assert found is not None
    assert found.password_hash == "hash-2"
    await stores.disable(user.user_id)
    refused = await stores.sessions.open(session(), "hash-2")
    assert refused is not None
    assert refused.verdict is Verdict.DISABLED
    await stores.delete(user.user_id)
    assert await stores.sessions.open(session(), "hash-2") is None


async def test_a_rotated_token_replays_its_successor_within_the_grace(stores: Stores) -> None:
    session = await opened(stores, "first")
    rotated = await stores.sessions.refresh(digest("first"), successor("second"), GRACE)
    again = await stores.sessions.refresh(digest("first"), successor("other"), GRACE)
    assert rotated is not None
    assert again is not None
    assert (rotated.verdict, again.verdict) == (Verdict.ROTATED, Verdict.REPLAYED)
    assert rotated.sealed == again.sealed == b"sealed second"
    assert rotated.expire_time == again.expire_time
    assert rotated.session_id == again.session_id == session.session_id
    assert await stores.sessions.refresh(digest("other"), successor("x"), GRACE) is None
    onward = await stores.sessions.refresh(digest("second"), successor("third"), GRACE)
    assert onward is not None
    assert onward.verdict is Verdict.ROTATED


async def test_a_token_reused_after_the_grace_ends_its_session_and_no_other(stores: Stores) -> None:
    await opened(stores, "first")
    await opened(stores, "elsewhere", email="bob@example.com")
    nothing = timedelta()
    assert await stores.sessions.refresh(digest("first"), successor("second"), nothing) is not None
    reused = await stores.sessions.refresh(digest("first"), successor("third"), nothing)
    assert reused is not None
    assert (reused.verdict, reused.sealed) == (Verdict.REUSED, b"")
    for token in ("first", "second"):
        after = await stores.sessions.refresh(digest(token), successor("fourth"), GRACE)
        assert after is not None
        assert after.verdict is Verdict.REVOKED
    other = await stores.sessions.refresh(digest("elsewhere"), successor("fifth"), GRACE)
    assert other is not None
    assert other.verdict is Verdict.ROTATED


async def test_a_token_expires(stores: Stores) -> None:
    await opened(stores, "first", timedelta())
    refused = await stores.sessions.refresh(digest("first"), successor("second"), GRACE)
    assert refused is not None
    assert refused.verdict is Verdict.EXPIRED


async def test_a_disabled_person_refreshes_nothing(stores: Stores) -> None:
    session = await opened(stores, "first")
    await stores.disable(session.user_id)
    refused = await stores.sessions.refresh(digest("first"), successor("second"), GRACE)
    assert refused is not None
    assert refused.verdict is Verdict.DISABLED
    assert await stores.sessions.refresh(digest("second"), successor("third"), GRACE) is None


async def test_revoking_by_any_token_of_a_session_ends_it_once_and_for_all(stores: Stores) -> None:
    await opened(stores, "first")
    await stores.sessions.refresh(digest("first"), successor("second"), GRACE)
    await stores.sessions.revoke(digest("first"))
    await stores.sessions.revoke(digest("first"))
    await stores.sessions.revoke(digest("unknown"))
    refused = await stores.sessions.refresh(digest("second"), successor("third"), GRACE)
    assert refused is not None
    assert refused.verdict is Verdict.REVOKED


async def test_fifty_refreshes_at_once_in_two_processes_leave_one_successor(stores: Stores) -> None:
    assert stores.other is not None
    await opened(stores, "first")
    both = (stores.sessions, stores.other.sessions)
    results = await asyncio.gather(
        *(both[n % 2].refresh(digest("first"), successor(f"next-{n}"), GRACE) for n in range(50))
    )
    assert len({result.sealed for result in results if result}) == 1
    verdicts = [result.verdict for result in results if result]
    assert verdicts.count(Verdict.ROTATED) == 1
    assert verdicts.count(Verdict.REPLAYED) == 49
    alive = 0
    for n in range(50):
        alive += (
            await stores.sessions.refresh(digest(f"next-{n}"), successor(f"later-{n}"), GRACE) is not None
        )
    assert alive == 1


async def test_a_revocation_during_rotations_leaves_no_token_alive(stores: Stores) -> None:
    assert stores.other is not None
    for round_ in range(5):
        first = f"{round_}-0"
        await opened(stores, first, email=f"{round_}@example.com")

        async def rotate(round_: int = round_) -> list[str]:
            made = [f"{round_}-0"]
            for n in range(1, 10):
                made.append(f"{round_}-{n}")
                await stores.sessions.refresh(digest(made[-2]), successor(made[-1]), GRACE)
            return made

        made, _ = await asyncio.gather(rotate(), stores.other.sessions.revoke(digest(first)))
        for token in made:
            result = await stores.sessions.refresh(digest(token), successor(f"{token}-x"), GRACE)
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


async def test_an_administrator_who_has_logged_in_keeps_the_password(stores: Stores) -> None:
    admin = account("admin@example.com", role=Role.ADMIN)
    await stores.setup.put_administrator(admin)
    session = NewSession(new_id(), admin.user_id, digest("first"), "", DAY)
    assert await stores.sessions.open(session, "hash-1") is not None
    assert not await stores.setup.needs_administrator()
    assert await stores.setup.put_administrator(account("other@example.com", role=Role.ADMIN)) is None


async def test_an_ordinary_account_does_not_become_administrator(stores: Stores) -> None:
    await stores.accounts.add(account("admin@example.com"))
    with pytest.raises(EmailTaken):
        await stores.setup.put_administrator(account("ADMIN@example.com", role=Role.ADMIN))


async def test_one_process_at_a_time_sets_up(stores: Stores) -> None:
    assert stores.other is not None
    async with stores.setup.alone() as first, stores.other.setup.alone() as second:
        assert (first, second) == (True, False)
    async with stores.other.setup.alone() as next_:
        assert next_


async def test_the_first_signing_keys_are_stored_once(stores: Stores) -> None:
    assert stores.other is not None

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
        await opened(stores, "old")
        await opened(stores, "young", email="bob@example.com")
        async with database.connection() as connection:
            await connection.execute(
                "update auth.sessions set expires_at = now() - interval '25 hours' where refresh_token = %s",
                (digest("old"),),
            )
        sessions = SqlSessions(database)
        assert [await sessions.prune(), await sessions.prune()] == [1, 0]
        assert await stores.sessions.refresh(digest("old"), successor("a"), GRACE) is None
        assert await stores.sessions.refresh(digest("young"), successor("b"), GRACE) is not None


async def test_a_database_that_went_away_is_unavailable(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=2) as database:
        stores = sql_stores(database)
        await opened(stores, "first")
        await database.close()
        for call in (
            stores.accounts.get(new_id()),
            stores.accounts.add(account("bob@example.com"), claim()),
            stores.sessions.refresh(digest("first"), successor("second"), GRACE),
            stores.setup.needs_administrator(),
            stores.signing_keys.all(),
        ):
            with pytest.raises(Unavailable):
                await call
