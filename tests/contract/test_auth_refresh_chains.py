"""A used refresh token that leads to the living one: the promises of `ports.sessions.Sessions`, kept in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.auth.model.sessions import MOST_REPLAYED, Refreshed, Verdict
from tests.fakes.auth_stores import GRACE, SOMEWHERE, Stores, digest, successor


async def refresh(stores: Stores, token: str, following: str, grace: timedelta = GRACE) -> Refreshed:
    refreshed = await stores.sessions.refresh(digest(token), successor(following), grace, SOMEWHERE)
    assert refreshed is not None
    return refreshed


async def test_a_used_token_leads_to_the_living_one_past_those_between(stores: Stores) -> None:
    session = await stores.open("0")
    await stores.open("elsewhere", email="bob@example.com")
    last = [await refresh(stores, str(number), str(number + 1)) for number in range(4)][-1]
    for number in range(4):
        replayed = await refresh(stores, str(number), "other")
        assert replayed.verdict is Verdict.REPLAYED
        assert replayed.sealed == tuple(f"sealed {n}".encode() for n in range(number + 1, 5))
        assert (replayed.expire_time, replayed.session_id) == (last.expire_time, session.session_id)
    assert (await refresh(stores, "4", "5")).verdict is Verdict.ROTATED
    assert await stores.revoked() == []


async def test_the_way_to_the_living_token_has_an_end(stores: Stores) -> None:
    session = await stores.open("0")
    for number in range(MOST_REPLAYED):
        await refresh(stores, str(number), str(number + 1))
    longest = await refresh(stores, "0", "other")
    assert (longest.verdict, len(longest.sealed)) == (Verdict.REPLAYED, MOST_REPLAYED)
    await refresh(stores, str(MOST_REPLAYED), "last")
    assert (await refresh(stores, "1", "other")).verdict is Verdict.REPLAYED
    assert (await refresh(stores, "0", "other")).verdict is Verdict.REUSED
    assert (await refresh(stores, "last", "other")).verdict is Verdict.REVOKED
    assert await stores.revoked() == [("session", session.session_id)]


async def test_a_successor_that_a_process_with_a_shorter_grace_forgot_counts_as_reused(
    stores: Stores,
) -> None:
    session = await stores.open("0")
    await refresh(stores, "0", "1")
    await refresh(stores, "1", "2", timedelta())
    await refresh(stores, "2", "3", timedelta())
    assert (await refresh(stores, "0", "other")).verdict is Verdict.REUSED
    assert (await refresh(stores, "3", "other")).verdict is Verdict.REVOKED
    assert await stores.revoked() == [("session", session.session_id)]
    assert (await stores.trail())[-1] == ("session.reuse", session.user_id)


async def test_two_tabs_that_refresh_on_and_on_in_two_processes_share_one_session(stores: Stores) -> None:
    """Each goes on with what it was given, however far the other has come meanwhile."""
    await stores.open("0")

    async def tab(process: Stores, name: str) -> list[Verdict]:
        token, verdicts = "0", []
        for number in range(8):
            refreshed = await process.sessions.refresh(
                digest(token), successor(f"{name}-{number}"), GRACE, SOMEWHERE
            )
            assert refreshed is not None
            verdicts.append(refreshed.verdict)
            token = refreshed.sealed[-1].removeprefix(b"sealed ").decode()
        return verdicts

    one, other = await asyncio.gather(tab(stores, "one"), tab(stores.other, "other"))
    assert {*one, *other} <= {Verdict.ROTATED, Verdict.REPLAYED}
    assert await stores.revoked() == []
