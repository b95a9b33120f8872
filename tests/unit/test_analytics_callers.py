"""Everybody may see what they used; what others used is for administrators, with a scope where they come with an API key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from services.analytics.model.figures import Dimension, Filter
from services.analytics.model.steps import Bucket
from services.analytics.usecases.export_events import ExportEvents
from services.analytics.usecases.reports import GetUserAnalytics
from services.analytics.usecases.spans import span_of
from services.analytics.usecases.watch_usage import Watchers, WatchUsage
from services.kernel.errors import InvalidArgument, PermissionDenied
from services.kernel.principal import Kind, Principal
from tests.fakes.analytics_events import event
from tests.fakes.analytics_stage import ADMIN, ALICE, BOB, FOR_EVER, NOW, Stage, stage

KEY = Principal(Kind.USER, user_id="alice", api_key_id="k", scopes=frozenset({"analytics.self"}))
ADMINS_KEY = Principal(Kind.ADMIN, user_id="root", api_key_id="k", scopes=frozenset({"analytics.self"}))
READERS_KEY = Principal(
    Kind.ADMIN, user_id="root", api_key_id="k", scopes=frozenset({"analytics.self", "analytics.read"})
)

Counted = Callable[[Stage, Principal, str], Awaitable[int]]


async def analytics(on: Stage, caller: Principal, user_id: str) -> int:
    span = span_of(NOW - timedelta(days=1), NOW, "", Bucket.NONE, NOW)
    _, report = await GetUserAnalytics(on.reckon)(caller, user_id, span)
    return report.totals.events


async def watched(on: Stage, caller: Principal, user_id: str) -> int:
    watch = WatchUsage(on.reckon, Watchers(on.usage, on.clock, 10), on.clock)
    readings = watch(caller, user_id, None, "")
    reading = await anext(readings)
    await readings.aclose()  # type: ignore[attr-defined]
    return reading.figures.events


async def exported(on: Stage, caller: Principal, user_id: str, which: Filter | None = None) -> int:
    pages = export(on)(caller, user_id, False, None, None, which or Filter())
    return sum([len(page) async for page in pages])


def export(on: Stage) -> ExportEvents:
    return ExportEvents(on.usage, on.prices, on.clock, FOR_EVER)


async def a_stage() -> Stage:
    """Three calls of Alice's, two of Bob's, one of nobody's."""
    hour = NOW - timedelta(hours=1)
    return await stage([event(hour, user_id=user) for user in ("alice", "alice", "alice", "bob", "bob", "")])


ways = pytest.mark.parametrize("counted", [analytics, watched, exported])


@ways
async def test_everybody_sees_their_own_calls(counted: Counted) -> None:
    on = await a_stage()
    assert await counted(on, ALICE, "") == await counted(on, ALICE, "alice") == 3
    assert await counted(on, ALICE, "ALICE") == await counted(on, KEY, "") == 3
    assert await counted(on, BOB, "") == 2
    assert await counted(on, ADMIN, "") == await counted(on, ADMINS_KEY, "") == 0


@ways
@pytest.mark.parametrize("caller", [BOB, Principal(Kind.SERVICE, user_id="bob", service="chat")])
async def test_others_are_refused(counted: Counted, caller: Principal) -> None:
    with pytest.raises(PermissionDenied) as refused:
        await counted(await a_stage(), caller, "alice")
    assert (refused.value.reason, refused.value.metadata) == ("ROLE_REQUIRED", {"role": "admin"})


@ways
async def test_administrators_see_everybodys(counted: Counted) -> None:
    on = await a_stage()
    assert await counted(on, ADMIN, "alice") == await counted(on, READERS_KEY, "alice") == 3


@ways
async def test_an_administrators_key_needs_the_scope_for_others(counted: Counted) -> None:
    with pytest.raises(PermissionDenied) as refused:
        await counted(await a_stage(), ADMINS_KEY, "alice")
    assert (refused.value.reason, refused.value.metadata) == ("SCOPE_REQUIRED", {"scope": "analytics.read"})


@pytest.mark.parametrize(("caller", "reason"), [(ALICE, "ROLE_REQUIRED"), (ADMINS_KEY, "SCOPE_REQUIRED")])
async def test_all_events_are_for_administrators(caller: Principal, reason: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        await anext(export(await a_stage())(caller, "", True, None, None, Filter()))
    assert refused.value.reason == reason


@pytest.mark.parametrize("caller", [ADMIN, READERS_KEY])
async def test_all_events_have_those_of_anonymous_callers_among_them(caller: Principal) -> None:
    on = await a_stage()
    assert sum([len(page) async for page in export(on)(caller, "", True, None, None, Filter())]) == 6
    some = Filter({Dimension.USER: ("bob", "")})
    assert sum([len(page) async for page in export(on)(caller, "", True, None, None, some)]) == 3


async def test_nobody_gets_at_others_by_a_filter() -> None:
    on = await a_stage()
    with pytest.raises(InvalidArgument):
        await exported(on, ALICE, "", Filter({Dimension.USER: ("bob",)}))
    with pytest.raises(InvalidArgument):
        await anext(export(on)(ADMIN, "alice", True, None, None, Filter()))
