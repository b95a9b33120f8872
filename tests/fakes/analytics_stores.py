"""Analytics' stores of one kind, empty, for the suites of their ports; and what the suites ask of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Durations, Group, Question, Sum
from services.analytics.ports import PriceStore, UsageStore
from services.capabilities.identity.deletions import Deletions
from tests.fakes import analytics_sums
from tests.fakes.analytics_memory import MemoryDeletions, MemoryPriceStore, MemoryUsageStore

Answers = tuple[list[Sum], dict[tuple[int, Group], tuple[dict[int, int], dict[int, int]]], int]


@dataclass(frozen=True)
class AnalyticsStores:
    """All stores on one database. `damage` spoils figures of people and of the system, but no events, past the port."""

    usage: UsageStore
    prices: PriceStore
    deletions: Deletions
    damage: Callable[[], Awaitable[None]]


def memory_stores() -> AnalyticsStores:
    """In this process."""
    usage = MemoryUsageStore()

    async def damage() -> None:
        usage.damage()

    return AnalyticsStores(usage, MemoryPriceStore(), MemoryDeletions(usage), damage)


async def answers(store: UsageStore, question: Question) -> Answers:
    """All that the store answers to a question, in an order of its own."""
    return (
        sorted(await store.sums(question)),
        _by_group(await store.durations(question)),
        await store.user_count(question),
    )


async def is_answered_right(store: UsageStore, events: Collection[RecordedEvent], question: Question) -> None:
    """Assert that the store answers what these events add up to, to the whole question and to its parts alike."""
    whole = replace(question, limit=None)
    sums, durations, people = await answers(store, whole)
    assert sums == sorted(analytics_sums.sums_of(events, whole))
    assert durations == _by_group(analytics_sums.durations_of(events, whole))
    assert people == len(analytics_sums.people_of(events, whole))
    if question.limit is not None:
        _are_the_greatest(await store.sums(question), sums, question.limit)
    groups = [group for _, group in list(durations)[::2]]
    some = _by_group(await store.durations(whole, groups))
    assert some == {key: value for key, value in durations.items() if key[1] in groups}


def _are_the_greatest(found: Collection[Sum], sums: Iterable[Sum], limit: int) -> None:
    """Assert that these are all sums of the greatest groups; which of equally great ones they are of does not matter."""
    sizes: Counter[Group] = Counter()
    for one in sums:
        sizes[one.group] += one.events
    chosen = {one.group for one in found}
    assert sorted(found) == sorted(one for one in sums if one.group in chosen)
    assert sorted(sizes[group] for group in chosen) == sorted(sizes.values())[-limit:]


def _by_group(
    durations: Collection[Durations],
) -> dict[tuple[int, Group], tuple[dict[int, int], dict[int, int]]]:
    found = {
        (one.step, one.group): (dict(one.latency), dict(one.first_token)) for one in durations if one.latency
    }
    assert len(found) == sum(bool(one.latency) for one in durations), "a group stands twice"
    return found
