"""Which tables answer for which parts of a time: the coarsest that fit, so that long times cost no more than short ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple

from services.analytics.model.figures import Piece

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Grain(Enum):
    """Lengths of the intervals that figures are kept for, in seconds; EVENT: single events."""

    DAY = 86_400
    HOUR = 3_600
    QUARTER = 900
    MINUTE = 60
    EVENT = 0

    @property
    def seconds(self) -> int:
        """The length."""
        return self.value

    def before(self, moment: datetime) -> datetime:
        """The start of the interval that a moment lies in."""
        length = timedelta(seconds=self.value)
        return _EPOCH + (moment - _EPOCH) // length * length

    def after(self, moment: datetime) -> datetime:
        """The first start of an interval that is not before a moment."""
        length = timedelta(seconds=self.value)
        return _EPOCH - (_EPOCH - moment) // length * length


SYSTEM_GRAINS = (Grain.DAY, Grain.HOUR, Grain.QUARTER, Grain.MINUTE, Grain.EVENT)
PEOPLE_GRAINS = (Grain.DAY, Grain.QUARTER, Grain.EVENT)
CALLER_GRAINS = (Grain.DAY, Grain.HOUR, Grain.QUARTER, Grain.EVENT)


class Stretch(NamedTuple):
    """A part of a piece that one table answers for: [start, end), whole intervals of the grain. `piece` is the piece's place in the question,
    `step` the step that it belongs to."""

    grain: Grain
    start: datetime
    end: datetime
    piece: int
    step: int


class Coverage(NamedTuple):
    """What is kept: events from `events_from` on, which is at a full day, and figures of minutes from `minutes_from` on."""

    events_from: datetime
    minutes_from: datetime


def covered(pieces: Sequence[Piece], grains: Sequence[Grain], kept: Coverage) -> list[Stretch]:
    """The stretches that make up the pieces: all of them, none twice, in their order.

    Before `events_from` a piece's start and end are moved back to the quarter. `grains` go from coarse to fine, and the last one is EVENT.
    """
    found: list[Stretch] = []
    for number, piece in enumerate(pieces):
        start, end = (
            moment if moment >= kept.events_from else Grain.QUARTER.before(moment)
            for moment in (piece.start, piece.end)
        )
        found += [
            Stretch(grain, first, last, number, piece.step)
            for grain, first, last in _cut(start, end, grains, kept)
        ]
    return found


def _cut(
    start: datetime, end: datetime, grains: Sequence[Grain], kept: Coverage
) -> Iterator[tuple[Grain, datetime, datetime]]:
    if start >= end:
        return
    grain, *finer = grains
    if not finer:
        yield grain, start, end
        return
    first, last = grain.after(start), grain.before(end)
    if grain is Grain.MINUTE:
        first = max(first, grain.after(kept.minutes_from))
    if first >= last:
        yield from _cut(start, end, finer, kept)
        return
    yield from _cut(start, first, finer, kept)
    yield grain, first, last
    yield from _cut(last, end, finer, kept)


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same time in as few pieces as can be."""
    found: list[Piece] = []
    for piece in pieces:
        if found and found[-1].end == piece.start:
            found[-1] = found[-1]._replace(end=piece.end)
        else:
            found.append(piece)
    return found


def without_gaps(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same times, with those that follow one another in a piece as one; their grain is that of the first."""
    found: list[Stretch] = []
    for stretch in stretches:
        if found and found[-1].piece == stretch.piece and found[-1].end == stretch.start:
            found[-1] = found[-1]._replace(end=stretch.end)
        else:
            found.append(stretch)
    return found
