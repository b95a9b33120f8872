"""Whoever is deleted leaves what was used, and nothing that leads to them."""

from __future__ import annotations

import asyncio

import pytest
from antiphon.usage.v1 import usage_pb2

from services.analytics.model.balances import Account
from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.capabilities.metering.model import ServiceType
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.analytics_events import event, rejected, yesterday
from tests.fakes.analytics_stores import AnalyticsStores, is_answered_right

_DAY = [Piece(yesterday(), yesterday(24), 0)]
_USERS = Question(_DAY, (Dimension.USER, Dimension.API_KEY))


def of(user_id: str, hour: float = 12) -> RecordedEvent:
    """A call of a person, by whom everything leads to them that can."""
    return event(
        yesterday(hour),
        user_id=user_id,
        api_key_id=f"key of {user_id}",
        session_id=f"session of {user_id}",
        request_id=f"request of {user_id}",
    )


def nobodys(one: RecordedEvent) -> RecordedEvent:
    """The same call of nobody."""
    return one._replace(series=one.series._replace(user_id="", api_key_id=""), session_id="", request_id="")


@pytest.mark.parametrize("is_tidied", [False, True])
async def test_the_figures_of_a_deleted_person_become_nobodys(
    analytics_stores: AnalyticsStores, is_tidied: bool
) -> None:
    store, ana, ben = analytics_stores.usage, new_id(), new_id()
    hers, his = [of(ana, number / 2) for number in range(48)], [of(ben, number) for number in range(24)]
    anonymous = [event(yesterday(number)) for number in range(24)]
    await store.record([*hers, *his, *anonymous])
    if is_tidied:
        await store.tidy()
    assert await analytics_stores.deletions.remove(ana)
    left = [*map(nobodys, hers), *his, *anonymous]
    for question in (_USERS, Question(_DAY), Question(_DAY, (), Filter({Dimension.USER: ("",)}))):
        await is_answered_right(store, left, question)
    odd = [Piece(yesterday(3.001), yesterday(17.77), 0)]
    await is_answered_right(store, left, Question(odd, _USERS.group_by))
    assert list(await store.events(yesterday(), yesterday(24), Filter(), "", 1000)) == sorted(left)
    found = await store.figure_tallies(yesterday(), yesterday(24), ServiceType.LLM_CHAT)
    assert found.events == found.people
    assert {account: tally.events for account, tally in found.people.items()} == {
        Account("", "echo", 1): 72,
        Account(ben, "echo", 1): 24,
    }
    await store.tidy()
    await is_answered_right(store, left, _USERS)


async def test_what_comes_of_a_deleted_person_is_nobodys(analytics_stores: AnalyticsStores) -> None:
    store, ana = analytics_stores.usage, new_id()
    await store.record([of(ana)])
    assert await analytics_stores.deletions.remove(ana)
    late = [of(ana, hour) for hour in (1, 12, 13)]
    assert await store.record(late) == 3
    assert await store.record(late) == 0
    found = await store.events(yesterday(), yesterday(24), Filter(), "", 10)
    assert {(one.series.user_id, one.series.api_key_id, one.session_id, one.request_id) for one in found} == {
        ("", "", "", "")
    }
    assert await store.user_count(_USERS) == 0
    assert {one.group for one in await store.sums(_USERS)} == {("", "")}


async def test_events_that_come_while_their_person_is_deleted_are_nobodys(
    analytics_stores: AnalyticsStores,
) -> None:
    store, ana = analytics_stores.usage, new_id()
    batches = [[of(ana, hour) for hour in range(20)] for _ in range(10)]
    *new, done = await asyncio.gather(
        *(store.record(batch) for batch in batches), analytics_stores.deletions.remove(ana)
    )
    assert (sum(new), done) == (200, True)
    assert await analytics_stores.deletions.remove(ana)
    events = [nobodys(one) for batch in batches for one in batch]
    await is_answered_right(store, events, _USERS)
    assert list(await store.events(yesterday(), yesterday(24), Filter(), "", 1000)) == sorted(events)


async def test_a_day_that_is_made_anew_brings_nobody_back(analytics_stores: AnalyticsStores) -> None:
    store, ana = analytics_stores.usage, new_id()
    events = [of(ana, hour) for hour in range(24)]
    await store.record(events)
    await asyncio.gather(analytics_stores.deletions.remove(ana), store.rebuild(yesterday().date()))
    assert await store.rebuild(yesterday().date())
    await is_answered_right(store, [nobodys(one) for one in events], _USERS)


async def test_deleting_may_be_repeated_and_leaves_others_alone(analytics_stores: AnalyticsStores) -> None:
    store, ana = analytics_stores.usage, new_id()
    events = [of(new_id()), event()]
    await store.record(events)
    for user_id in (ana, ana, ""):
        assert await analytics_stores.deletions.remove(user_id)
    await is_answered_right(store, events, _USERS)
    assert list(await store.events(yesterday(), yesterday(24), Filter(), "", 10)) == sorted(events)


async def test_bad_items_of_a_deleted_person_stay_without_them(analytics_stores: AnalyticsStores) -> None:
    store, ana = analytics_stores.usage, new_id()
    hers, his = rejected(ana), rejected(new_id())
    await store.reject([hers, his])
    assert await analytics_stores.deletions.remove(ana)
    late = rejected(ana)
    await store.reject([late])
    found = {one.rejected_event_id: one for one in (await store.rejected(PageRequest())).items}
    assert found[his.rejected_event_id] == his
    for kept in (hers, late):
        message = usage_pb2.UsageEvent.FromString(found[kept.rejected_event_id].payload)
        assert (message.user_id, message.api_key_id, message.session_id, message.request_id) == (
            "",
            "",
            "",
            "",
        )
        assert message.event_id == usage_pb2.UsageEvent.FromString(kept.payload).event_id
        assert found[kept.rejected_event_id].violations == kept.violations
    assert len(found) == 3


async def test_the_position_moves_in_one_direction_until_the_feed_is_another(
    analytics_stores: AnalyticsStores,
) -> None:
    deletions = analytics_stores.deletions
    assert await deletions.position() == 0
    await asyncio.gather(*(deletions.advance(number) for number in (3, 7, 5)))
    await deletions.advance(5)
    assert await deletions.position() == 7
    await deletions.restart()
    assert await deletions.position() == 0
