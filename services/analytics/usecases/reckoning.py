"""From a question about a span of time to priced figures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.analytics.model.figures import Dimension, Filter, Group, Piece, Question
from services.analytics.model.prices import PriceBook
from services.analytics.model.steps import Span, steps
from services.analytics.model.totals import Reckoned
from services.analytics.ports import PriceStore, UsageStore

EVERYTHING = Filter()


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
        """The figures of all groups. Raises Unavailable."""
        made = steps(span)
        book = PriceBook(await self.prices.all())
        question = Question(pieces_of(span, made, book), group_by, which)
        sums, durations = await asyncio.gather(self.store.sums(question), self.store.durations(question))
        return Answer(made, Reckoned(question.pieces, sums, durations, book))

    async def leaders(
        self, span: Span, group_by: tuple[Dimension, ...], which: Filter, *, limit: int, by_cost: int = 0
    ) -> tuple[Answer, list[Group]]:
        """The figures of the groups with the most events, at most `limit`; with `by_cost` of those with the highest cost among so many with the most
        events. Returns the groups in their order, too. Raises Unavailable."""
        made = steps(span)
        book = PriceBook(await self.prices.all())
        pieces = pieces_of(span, made, book)
        question = Question(pieces, group_by, which, max(limit, by_cost))
        sums = await self.store.sums(question)
        # Percentiles decide on nothing, so only those that are told are asked for.
        found = Reckoned(pieces, sums, (), book).by(lambda _step, group: group)
        order = list(found)
        if by_cost:
            order.sort(key=lambda group: -1 if (cost := found[group].cost) is None else cost, reverse=True)
        groups = order[:limit]
        durations = await self.store.durations(question, groups) if groups else ()
        told = frozenset(groups)
        kept = [row for row in sums if row.group in told]
        return Answer(made, Reckoned(pieces, kept, durations, book)), groups


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
