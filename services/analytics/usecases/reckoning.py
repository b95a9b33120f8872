"""From a question about a span of time to priced figures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.analytics.model.figures import Dimension, Durations, Filter, Group, Piece, Question, Sum, Value
from services.analytics.model.prices import PriceBook
from services.analytics.model.steps import Bucket, Span, steps
from services.analytics.model.totals import Figures, Reckoned
from services.analytics.ports import PriceStore, UsageStore

EVERYTHING = Filter()

# Where a call is counted between the two questions, its counts and its durations would not belong together.
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """Figures, and the steps that they are told by."""

    steps: Sequence[tuple[datetime, datetime]]
    reckoned: Reckoned


@dataclass(frozen=True, slots=True)
class Reckoning:
    """Asks the store, and prices what it answers."""

    store: UsageStore
    prices: PriceStore

    async def __call__(
        self, span: Span, group_by: tuple[Dimension, ...] = (), which: Filter = EVERYTHING
    ) -> Answer:
        """The figures by group, and by step if the span has a bucket. Raises Unavailable."""
        made = steps(span)
        book = PriceBook(await self.prices.all())
        question = Question(pieces_of(span, made, book), group_by, which)
        for _ in range(_TRIES):
            sums, of_groups, of_steps = await asyncio.gather(
                self.store.sums(question),
                self.store.durations(replace(question, pieces=_whole(span))),
                self._by_step(span, replace(question, group_by=())),
            )
            if _agree(sums, of_groups) and (span.bucket is Bucket.NONE or _agree(sums, of_steps)):
                break
        return Answer(made, Reckoned(question.pieces, sums, book, of_groups=of_groups, of_steps=of_steps))

    async def most_calls(
        self, span: Span, dimension: Dimension, which: Filter, limit: int
    ) -> dict[Value, Figures]:
        """The figures of those with the most events, at most `limit`, most first; without percentiles, which would cost far more than all else.
        Raises Unavailable."""
        book = PriceBook(await self.prices.all())
        question = Question(pieces_of(span, [(span.start, span.end)], book), (dimension,), which, limit)
        sums = await self.store.sums(question)
        return Reckoned(question.pieces, sums, book).by_place(0)

    async def leaders(
        self, span: Span, group_by: tuple[Dimension, ...], which: Filter, *, limit: int, by_cost: int = 0
    ) -> tuple[Answer, list[Group]]:
        """The figures by group, and by group and step if the span has a bucket, of the groups with the most events, at most `limit`; with `by_cost` of
        those with the highest cost among so many with the most events. Returns the groups in their order, too. Raises Unavailable."""
        made = steps(span)
        book = PriceBook(await self.prices.all())
        # Steps decide on nothing, and there may be many of many groups.
        whole = Question(
            pieces_of(span, [(span.start, span.end)], book), group_by, which, max(limit, by_cost)
        )
        question = replace(whole, pieces=pieces_of(span, made, book), limit=None)
        for _ in range(_TRIES):
            sums = await self.store.sums(whole)
            groups = _in_order(Reckoned(whole.pieces, sums, book).by_group(), by_cost > 0)[:limit]
            told = frozenset(groups)
            kept: Sequence[Sum] = [row for row in sums if row.group in told]
            of_groups = await self._of_these(replace(whole, pieces=_whole(span)), groups)
            if span.bucket is Bucket.NONE:
                if _agree(kept, of_groups):
                    break
                continue
            kept, of_both = await asyncio.gather(
                self.store.sums(question, groups), self._by_step(span, question, groups)
            )
            if _agree(kept, of_groups) and _agree(kept, of_both):
                break
        if span.bucket is Bucket.NONE:
            return Answer(made, Reckoned(whole.pieces, kept, book, of_groups=of_groups)), groups
        reckoned = Reckoned(question.pieces, kept, book, of_groups=of_groups, of_both=of_both)
        return Answer(made, reckoned), groups

    async def _of_these(self, question: Question, groups: Sequence[Group]) -> Sequence[Durations]:
        return await self.store.durations(question, groups) if groups else ()

    async def _by_step(
        self, span: Span, question: Question, groups: Sequence[Group] | None = None
    ) -> Sequence[Durations]:
        """The durations of each step, where there are several."""
        if span.bucket is Bucket.NONE or groups == []:
            return ()
        return await self.store.durations(question, groups)


def _whole(span: Span) -> tuple[Piece, ...]:
    return (Piece(span.start, span.end, 0),)


def _agree(sums: Sequence[Sum], durations: Sequence[Durations]) -> bool:
    """Whether both are of the same calls: each of those that began has a latency."""
    begun = sum(row.events - row.refused for row in sums)
    return begun == sum(count for one in durations for count in one.latency.values())


def _in_order(found: dict[Group, Figures], by_cost: bool) -> list[Group]:
    """The groups with the most events first, or those with the highest cost, unknown ones last."""
    order = list(found)
    if by_cost:
        order.sort(key=lambda group: -1 if (cost := found[group].cost) is None else cost, reverse=True)
    return order


def pieces_of(span: Span, made: Sequence[tuple[datetime, datetime]], book: PriceBook) -> tuple[Piece, ...]:
    """The steps, cut where a price changes."""
    changes = book.changes(span.start, span.end)
    pieces = []
    place = 0
    for step, (start, end) in enumerate(made):
        while place < len(changes) and changes[place] < end:
            if changes[place] > start:
                pieces.append(Piece(start, changes[place], step))
                start = changes[place]
            place += 1
        pieces.append(Piece(start, end, step))
    return tuple(pieces)
