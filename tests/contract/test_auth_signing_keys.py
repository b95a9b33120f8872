"""The promises of the store of signing keys, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from services.auth.model.signing_keys import KeyState, NotYet, Rotation, SealedKey
from services.auth.ports.signing_keys import SigningKeys
from services.auth.stores.signing_keys import SqlSigningKeys
from services.infra.postgres.database import Database
from tests.fakes.auth_memory_signing_keys import KeyTable, MemorySigningKeys

NO_WAIT = timedelta()
NEXT, ACTIVE, RETIRED = KeyState.NEXT, KeyState.ACTIVE, KeyState.RETIRED


def key(kid: str, state: KeyState = NEXT) -> SealedKey:
    return SealedKey(kid, state, f"sealed {kid}".encode(), f"pem {kid}")


@dataclass
class Stage:
    """The store of one process and that of another, and what is behind them."""

    keys: SigningKeys
    other: SigningKeys
    behind: KeyTable | Database

    async def started(self) -> None:
        await self.keys.add_first(key("one", ACTIVE), key("two"))

    async def later(self, seconds: float) -> None:
        """Let time pass."""
        if isinstance(self.behind, KeyTable):
            self.behind.later += timedelta(seconds=seconds)
            return
        await self._ask(
            "update auth.signing_keys set created_at = created_at - make_interval(secs => %(s)s),"
            " activated_at = activated_at - make_interval(secs => %(s)s),"
            " retired_at = retired_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )

    async def forget(self, kid: str) -> None:
        """Remove a key past the store."""
        if isinstance(self.behind, KeyTable):
            del self.behind.rows[kid]
        else:
            await self._ask("delete from auth.signing_keys where kid = %(kid)s", {"kid": kid})

    async def trail(self) -> Sequence[dict[str, str]]:
        """What was written down of rotations."""
        if isinstance(self.behind, KeyTable):
            return [dict(deed.attributes) for deed in self.behind.deeds]
        found = await self._ask(
            "select attributes from auth.audit_events where action = 'signing_key.rotate'"
            " and address = 'command line' and actor_id is null and user_id is null order by id",
            {},
        )
        return [row[0] for row in found]

    async def _ask(self, query: str, values: dict[str, object]) -> list[Any]:
        assert isinstance(self.behind, Database)
        async with self.behind.connection() as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall() if cursor.description else []


@pytest.fixture(params=["memory", "postgres"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "memory":
        table = KeyTable()
        yield Stage(MemorySigningKeys(table), MemorySigningKeys(table), table)
        return
    url = request.getfixturevalue("migrated_url")
    async with Database(url, min_size=1, max_size=8) as one, Database(url, min_size=1, max_size=8) as two:
        yield Stage(SqlSigningKeys(one), SqlSigningKeys(two), one)


async def test_keys_move_on_by_one_and_stay_published_when_they_retire(stage: Stage) -> None:
    await stage.started()
    assert await stage.keys.rotate(key("three"), NO_WAIT) == Rotation("two", "three", retired="one")
    expected = {"one": RETIRED, "two": ACTIVE, "three": NEXT}
    assert await stage.other.states() == expected
    stored = await stage.other.all()
    assert {each.kid: each.state for each in stored} == expected
    assert [each.sealed_private for each in stored if each.kid == "three"] == [b"sealed three"]
    assert stored[0].kid == "two"
    records = await stage.keys.records()
    assert [(each.kid, each.state) for each in records] == [
        ("three", NEXT),
        ("two", ACTIVE),
        ("one", RETIRED),
    ]
    following, active, retired = records
    assert following.since == following.publish_time
    assert active.publish_time < active.since == active.activate_time
    assert retired.since == retired.retire_time
    assert await stage.trail() == [{"active": "two", "next": "three", "retired": "one"}]


async def test_a_key_does_not_sign_before_it_was_published_long_enough(stage: Stage) -> None:
    await stage.started()
    await stage.later(4)
    refused = await stage.keys.rotate(key("three"), timedelta(seconds=10))
    assert isinstance(refused, NotYet)
    assert 5 < refused.seconds <= 6
    assert await stage.keys.states() == {"one": ACTIVE, "two": NEXT}
    assert await stage.trail() == []
    await stage.later(6.5)
    assert isinstance(await stage.keys.rotate(key("three"), timedelta(seconds=10)), Rotation)


async def test_of_several_who_rotate_at_once_one_does_and_the_others_are_told_to_wait(stage: Stage) -> None:
    await stage.started()
    await stage.later(20)
    both = (stage.keys, stage.other)
    done = await asyncio.gather(
        *(both[number % 2].rotate(key(f"new-{number}"), timedelta(seconds=10)) for number in range(8))
    )
    (rotation,) = [each for each in done if isinstance(each, Rotation)]
    assert all(each.seconds > 5 for each in done if isinstance(each, NotYet))
    assert await stage.keys.states() == {"one": RETIRED, "two": ACTIVE, rotation.following: NEXT}


async def test_a_leak_drops_what_has_signed_without_waiting(stage: Stage) -> None:
    await stage.started()
    await stage.keys.rotate(key("three"), NO_WAIT)
    done = await stage.keys.rotate(key("four"), timedelta(hours=1), leaked=True)
    assert isinstance(done, Rotation)
    assert (done.active, done.following, done.retired, set(done.dropped)) == (
        "three",
        "four",
        "",
        {"one", "two"},
    )
    assert await stage.keys.states() == {"three": ACTIVE, "four": NEXT}
    assert (await stage.trail())[-1].keys() == {"active", "next", "dropped"}


async def test_a_missing_next_key_is_published_first(stage: Stage) -> None:
    await stage.started()
    await stage.forget("two")
    assert await stage.keys.rotate(key("three"), timedelta(seconds=10)) == NotYet(10.0)
    assert await stage.keys.states() == {"one": ACTIVE, "three": NEXT}
    await stage.forget("one")
    assert await stage.keys.rotate(key("four"), NO_WAIT) == Rotation("three", "four")


async def test_a_leak_without_a_next_key_leaves_one_that_signs(stage: Stage) -> None:
    await stage.started()
    await stage.forget("two")
    done = await stage.keys.rotate(key("three"), timedelta(hours=1), leaked=True)
    assert isinstance(done, Rotation)
    assert (done.active, done.following, list(done.dropped)) == ("three", "", ["one"])
    assert await stage.keys.states() == {"three": ACTIVE}


async def test_a_retired_key_is_forgotten_when_no_token_of_it_lives(stage: Stage) -> None:
    await stage.started()
    await stage.keys.rotate(key("three"), NO_WAIT)
    life = timedelta(minutes=15)
    await stage.later(24 * 60)
    assert await stage.keys.prune(life) == 0
    await stage.later(2 * 60)
    assert [await stage.keys.prune(life), await stage.other.prune(life)] == [1, 0]
    assert await stage.keys.states() == {"two": ACTIVE, "three": NEXT}
