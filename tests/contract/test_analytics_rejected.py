"""Bad items are kept for whoever mends the service that sent them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.analytics.stores import rejected as on_postgres
from services.analytics.stores.mongo import rejecting as on_mongo
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes import analytics_memory as in_memory
from tests.fakes.analytics_events import rejected
from tests.fakes.analytics_stores import AnalyticsStores


async def test_bad_items_are_told_newest_first_and_page_by_page(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    items = [rejected(source=f"service {number}") for number in range(7)]
    await store.reject(items[:3])
    await store.reject(items[3:])
    newest = items[::-1]
    first = await store.rejected(PageRequest(size=3))
    assert (list(first.items), first.after, first.total_size) == (newest[:3], newest[2].rejected_event_id, 7)
    second = await store.rejected(PageRequest(size=3, after=first.after))
    assert (list(second.items), second.total_size) == (newest[3:6], 7)
    last = await store.rejected(PageRequest(size=3, after=second.after))
    assert (list(last.items), last.after) == (newest[6:], None)
    skipped = await store.rejected(PageRequest(size=2, after=first.after, skip=1))
    assert list(skipped.items) == newest[4:6]
    assert await store.rejected_count() == 7


async def test_nothing_is_rejected_yet(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    await store.reject([])
    page = await store.rejected(PageRequest())
    assert (list(page.items), page.after, page.total_size) == ([], None, 0)
    assert await store.rejected_count() == 0


async def test_the_same_item_once_more_only_counts(analytics_stores: AnalyticsStores) -> None:
    store, first = analytics_stores.usage, rejected(new_id())
    await store.reject([first])
    later = replace(first, rejected_event_id=new_id(), receive_time=datetime.now(UTC) + timedelta(minutes=1))
    await asyncio.gather(*(store.reject([later]) for _ in range(10)))
    await store.reject([later, later])
    (found,) = (await store.rejected(PageRequest())).items
    assert found == replace(first, receive_count=13)


async def test_the_same_item_of_another_source_is_another(analytics_stores: AnalyticsStores) -> None:
    store, one = analytics_stores.usage, rejected()
    other = replace(one, rejected_event_id=new_id(), source="image")
    await asyncio.gather(*(store.reject([item]) for item in (one, other, one, other)))
    found = (await store.rejected(PageRequest())).items
    assert [(item.source, item.receive_count) for item in found] == [("image", 2), ("chat", 2)]


async def test_any_bytes_are_kept_as_they_came(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    items = [replace(rejected(), payload=payload, violations=()) for payload in (b"", b"\x1a\x00")]
    await store.reject(items)
    assert sorted(item.payload for item in (await store.rejected(PageRequest())).items) == [b"", b"\x1a\x00"]


async def test_tidying_keeps_what_came_lately(analytics_stores: AnalyticsStores) -> None:
    store, item = analytics_stores.usage, rejected()
    await store.reject([item])
    await store.tidy()
    assert list((await store.rejected(PageRequest())).items) == [item]


async def test_tidying_keeps_only_the_newest_of_very_many(
    analytics_stores: AnalyticsStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (in_memory, on_postgres, on_mongo):
        monkeypatch.setattr(module, "_MOST_KEPT", 5)
    monkeypatch.setattr(on_postgres, "_STEP", 2)
    store, items = analytics_stores.usage, [rejected() for _ in range(12)]
    await store.reject(items[:5])
    await store.tidy()
    assert await store.rejected_count() == 5
    await store.reject(items[5:])
    await asyncio.gather(store.tidy(), store.tidy())
    assert list((await store.rejected(PageRequest())).items) == items[:6:-1]
    assert await store.rejected_count() == 5
