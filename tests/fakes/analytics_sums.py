"""What events add up to, by looking at each of them: what any store of figures has to answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from services.analytics.model.balances import Account, Tally
from services.analytics.model.events import UNITS, RecordedEvent
from services.analytics.model.figures import Durations, Filter, Group, Piece, Question, Sum
from services.analytics.model.histogram import bucket_of
from tests.fakes.analytics_events import micros


class _Key(NamedTuple):
    piece: int
    group: Group
    model: str
    variant: str
    units: int


def added(amounts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Quantities by UNITS, all together."""
    total = [0] * len(UNITS)
    for quantities in amounts:
        total = [one + other for one, other in zip(total, quantities, strict=True)]
    return tuple(total)


def matches(event: RecordedEvent, which: Filter) -> bool:
    """Whether the filter lets the event count."""
    series = event.series
    return which.refused in (None, series.refused) and all(
        getattr(series, dimension.value) in values for dimension, values in which.values.items()
    )


def is_in(event: RecordedEvent, start: datetime, end: datetime) -> bool:
    """Whether the event counts in [start, end)."""
    return micros(start) <= event.end_time < micros(end)


def sums_of(
    events: Collection[RecordedEvent], question: Question, groups: Collection[Group] | None = None
) -> list[Sum]:
    """The answer to a question about these events; of groups with equally many events any may be left out by a limit."""
    found: dict[_Key, list[RecordedEvent]] = defaultdict(list)
    sizes: Counter[Group] = Counter()
    for number, _, group, event in _found(events, question):
        series = event.series
        found[_Key(number, group, series.model, series.variant, series.units)].append(event)
        sizes[group] += 1
    chosen = {group for group, _ in sizes.most_common(question.limit)} if groups is None else set(groups)
    return [_sum(key, those) for key, those in found.items() if key.group in chosen]


def durations_of(
    events: Collection[RecordedEvent], question: Question, groups: Collection[Group] | None = None
) -> list[Durations]:
    """How long these events took."""
    latencies: dict[tuple[int, Group], Counter[int]] = defaultdict(Counter)
    first_tokens: dict[tuple[int, Group], Counter[int]] = defaultdict(Counter)
    for _, piece, group, event in _found(events, question):
        if event.series.refused or (groups is not None and group not in groups):
            continue
        latencies[piece.step, group][bucket_of(event.latency)] += 1
        if event.first_token >= 0:
            first_tokens[piece.step, group][bucket_of(event.first_token)] += 1
    return [
        Durations(step, group, dict(counts), dict(first_tokens[step, group]))
        for (step, group), counts in latencies.items()
    ]


def people_of(events: Collection[RecordedEvent], question: Question) -> set[str]:
    """Who made the calls."""
    return {event.series.user_id for _, _, _, event in _found(events, question)} - {""}


def tallies_of(events: Iterable[RecordedEvent]) -> dict[Account, Tally]:
    """What these events add up to by account, without refused calls."""
    found: dict[Account, list[RecordedEvent]] = defaultdict(list)
    for event in events:
        if not event.series.refused:
            found[Account(event.series.user_id, event.series.model, event.series.status)].append(event)
    return {
        account: Tally(len(those), added(event.quantities for event in those))
        for account, those in found.items()
    }


def _found(
    events: Collection[RecordedEvent], question: Question
) -> Iterator[tuple[int, Piece, Group, RecordedEvent]]:
    for number, piece in enumerate(question.pieces):
        for event in events:
            if is_in(event, piece.start, piece.end) and matches(event, question.filter):
                group = tuple(getattr(event.series, dimension.value) for dimension in question.group_by)
                yield number, piece, group, event


def _sum(key: _Key, events: Collection[RecordedEvent]) -> Sum:
    statuses = Counter(event.series.status for event in events)
    return Sum(
        piece=key.piece,
        group=key.group,
        model=key.model,
        variant=key.variant,
        units=key.units,
        events=len(events),
        success=statuses[1],
        error=statuses[2],
        cancelled=statuses[3],
        refused=sum(event.series.refused for event in events),
        quantities=added(event.quantities for event in events),
    )
