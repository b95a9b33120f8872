"""How many API keys a person may have, and how long what has ended is kept: promised of the store in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from services.auth.errors import TooManyApiKeys
from services.auth.model.api_keys import ENDED_KEYS_KEPT, MOST_KEYS
from services.kernel.paging import PageRequest
from tests.fakes.auth_key_stage import KeyStage, key_claim, key_deed, key_stage, near, new_key

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(params=["memory", "postgres"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[KeyStage]:
    url = None if request.param == "memory" else request.getfixturevalue("migrated_url")
    async with key_stage(url) as staged:
        yield staged


async def test_a_person_has_so_many_good_keys_and_no_more(stage: KeyStage) -> None:
    ana, held = await stage.person(), key_claim()
    made, _ = await stage.keys.add(new_key(ana, "first"), key_deed("key.create", ana), held)
    short = await stage.make(ana, "short", expire_time=datetime.now(UTC) + HOUR)
    for number in range(MOST_KEYS - 2):
        await stage.make(ana, f"key-{number}")
    by, refused_claim = key_deed("key.create", ana), key_claim()
    for claim in (None, refused_claim, refused_claim):
        with pytest.raises(TooManyApiKeys) as refused:
            await stage.keys.add(new_key(ana, "more"), by, claim)
        assert refused.value.metadata == {"maximum": str(MOST_KEYS)}
    assert await stage.keys.add(new_key(ana, "more"), by, held) == (made, False)
    await stage.make(await stage.person())
    # Keys that have ended make room, and what was refused can be asked for again.
    assert await stage.keys.revoke(ana, made.api_key_id, key_deed("key.revoke", ana))
    _, is_new = await stage.keys.add(new_key(ana, "second"), by, refused_claim)
    assert is_new
    await stage.world.pass_time(HOUR)
    assert not await stage.accepts(short, "short")
    await stage.make(ana, "third")
    with pytest.raises(TooManyApiKeys):
        await stage.make(ana, "fourth")


async def test_keys_made_at_once_in_two_processes_are_no_more_than_allowed(stage: KeyStage) -> None:
    ana, both = await stage.person(), (stage.keys, stage.other)
    for number in range(MOST_KEYS - 3):
        await stage.make(ana, f"key-{number}")
    by = key_deed("key.create", ana)
    done = await asyncio.gather(
        *(both[n % 2].add(new_key(ana, f"more-{n}"), by) for n in range(12)), return_exceptions=True
    )
    assert [isinstance(result, TooManyApiKeys) for result in done].count(True) == 9
    assert len((await stage.keys.list(ana, PageRequest(MOST_KEYS + 9))).items) == MOST_KEYS


async def test_keys_that_ended_long_ago_are_forgotten(stage: KeyStage) -> None:
    ana = await stage.person()
    good = await stage.make(ana, "good")
    lasting = await stage.make(ana, "lasting", expire_time=datetime.now(UTC) + ENDED_KEYS_KEPT + 2 * DAY)
    revoked = await stage.make(ana, "revoked")
    # Which ended first counts: its revocation.
    early = await stage.make(ana, "early", expire_time=datetime.now(UTC) + ENDED_KEYS_KEPT)
    expired = await stage.make(ana, "expired", expire_time=datetime.now(UTC) + HOUR)
    for key in (revoked, early):
        assert await stage.keys.revoke(ana, key.api_key_id, key_deed("key.revoke", ana))

    async def listed() -> set[str]:
        return {key.api_key_id for key in (await stage.keys.list(ana, PageRequest())).items}

    await stage.world.pass_time(ENDED_KEYS_KEPT - DAY)
    assert await stage.keys.prune() == 0
    await stage.world.pass_time(DAY)
    assert sorted(await asyncio.gather(stage.keys.prune(), stage.other.prune())) == [0, 2]
    assert await listed() == {good.api_key_id, lasting.api_key_id, expired.api_key_id}
    await stage.world.pass_time(HOUR)
    assert (await stage.keys.prune(), await stage.other.prune()) == (1, 0)
    assert await listed() == {good.api_key_id, lasting.api_key_id}
    assert await stage.accepts(good, "good")
    assert await stage.accepts(lasting, "lasting")


async def test_old_secrets_are_forgotten_after_their_grace(stage: KeyStage) -> None:
    key = await stage.make(await stage.person())
    rotated = await stage.rotate(key, "second", HOUR, held := key_claim())
    assert await stage.keys.prune() == 0
    assert await stage.accepts(key, "first")
    await stage.world.pass_time(HOUR)
    assert (await stage.keys.prune(), await stage.other.prune()) == (1, 0)
    # Not even with a grace that is still under way would it be known.
    await stage.world.pass_time(-HOUR)
    assert not await stage.accepts(key, "first")
    assert await stage.accepts(key, "second")
    again = await stage.rotate(key, "third", HOUR, held)
    assert again.repeated
    assert near(again.old_expire_time, rotated.old_expire_time)
