"""A question's time is cut into parts that tables answer for: all of it, none of it twice, and as little of single events as can be."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.analytics.model.figures import Piece
from services.analytics.stores.covering import (
    PEOPLE_GRAINS,
    SYSTEM_GRAINS,
    Coverage,
    Grain,
    Stretch,
    covered,
    joined,
    without_gaps,
)

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FOUR_DAYS = 4 * 86_400_000
_ALL = Coverage(_BEGINNING, _BEGINNING)


def _starts_of(grain: Grain) -> st.SearchStrategy[int]:
    return st.integers(0, 96).map(lambda number: number * grain.seconds * 1000)


_edges = st.one_of(st.integers(0, _FOUR_DAYS), *map(_starts_of, (Grain.MINUTE, Grain.QUARTER, Grain.HOUR)))
_moments = _edges.map(lambda millis: _BEGINNING + min(millis, _FOUR_DAYS) * _MILLISECOND)
_grains = st.sampled_from([SYSTEM_GRAINS, PEOPLE_GRAINS])


@st.composite
def _pieces(draw: st.DrawFn) -> list[Piece]:
    edges = sorted(draw(st.sets(_moments, min_size=2, max_size=6)))
    return [Piece(start, end, number // 2) for number, (start, end) in enumerate(itertools.pairwise(edges))]


def _at(days: int = 0, hours: int = 0, minutes: int = 0, seconds: float = 0) -> datetime:
    return _BEGINNING + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


@given(_pieces(), _grains, _moments)
def test_the_stretches_of_a_piece_are_the_piece(
    pieces: list[Piece], grains: tuple[Grain, ...], minutes_from: datetime
) -> None:
    stretches = covered(pieces, grains, Coverage(_BEGINNING, minutes_from))
    for number, piece in enumerate(pieces):
        own = [one for one in stretches if one.piece == number]
        assert (own[0].start, own[-1].end) == (piece.start, piece.end)
        assert all(one.end == other.start for one, other in itertools.pairwise(own))
        assert {one.step for one in own} == {piece.step}
    assert stretches == sorted(stretches, key=lambda one: one.start)


@given(_pieces(), _grains, _moments)
def test_each_stretch_has_whole_intervals_of_what_is_kept(
    pieces: list[Piece], grains: tuple[Grain, ...], minutes_from: datetime
) -> None:
    for one in covered(pieces, grains, Coverage(_BEGINNING, minutes_from)):
        assert one.grain in grains
        assert one.start < one.end
        if one.grain is not Grain.EVENT:
            assert one.grain.before(one.start) == one.start
            assert one.grain.before(one.end) == one.end
        if one.grain is Grain.MINUTE:
            assert one.start >= minutes_from


@given(_pieces())
def test_single_events_are_of_less_than_two_minutes(pieces: list[Piece]) -> None:
    for one in covered(pieces, SYSTEM_GRAINS, _ALL):
        if one.grain is Grain.EVENT:
            assert one.end - one.start < timedelta(minutes=2)


@given(_pieces(), _grains, _moments)
def test_without_gaps_it_is_the_same_time(
    pieces: list[Piece], grains: tuple[Grain, ...], minutes_from: datetime
) -> None:
    stretches = [
        one
        for one in covered(pieces, grains, Coverage(_BEGINNING, minutes_from))
        if one.grain is not Grain.EVENT
    ]
    whole = without_gaps(stretches)
    for number in range(len(pieces)):
        apart = sum((one.end - one.start for one in stretches if one.piece == number), timedelta())
        assert sum((one.end - one.start for one in whole if one.piece == number), timedelta()) == apart
    assert not any(
        one.piece == other.piece and one.end == other.start for one, other in itertools.pairwise(whole)
    )


def test_pieces_that_follow_one_another_are_joined() -> None:
    pieces = [Piece(_at(hours=hour), _at(hours=hour + 1), hour) for hour in (0, 1, 3, 4, 6)]
    assert [(one.start, one.end) for one in joined(pieces)] == [
        (_at(hours=first), _at(hours=last)) for first, last in ((0, 2), (3, 5), (6, 7))
    ]


def test_the_coarsest_that_fit_are_taken() -> None:
    piece = Piece(_at(hours=22, minutes=44, seconds=59.999), _at(days=2, minutes=1), 7)
    cut = [
        (Grain.EVENT, piece.start, _at(hours=22, minutes=45)),
        (Grain.QUARTER, _at(hours=22, minutes=45), _at(hours=23)),
        (Grain.HOUR, _at(hours=23), _at(days=1)),
        (Grain.DAY, _at(days=1), _at(days=2)),
        (Grain.MINUTE, _at(days=2), piece.end),
    ]
    assert covered([piece], SYSTEM_GRAINS, _ALL) == [Stretch(*one, piece=0, step=7) for one in cut]


def test_where_no_events_are_kept_pieces_begin_and_end_at_quarters() -> None:
    kept = Coverage(_at(days=2), _at(days=2))
    told = Piece(_at(hours=1, minutes=44), _at(hours=3, minutes=1), 0)
    within_a_quarter = Piece(_at(hours=5, minutes=1), _at(hours=5, minutes=14), 1)
    (first, *between, last) = covered([told, within_a_quarter], SYSTEM_GRAINS, kept)
    assert (first.start, last.end, len(between)) == (_at(hours=1, minutes=30), _at(hours=3), 0)


def test_a_piece_that_begins_before_the_events_is_exact_at_its_end() -> None:
    kept = Coverage(_at(days=1), _at(days=1))
    (day, event) = covered([Piece(_at(minutes=1), _at(days=1, seconds=1), 0)], PEOPLE_GRAINS, kept)
    assert (day.grain, day.start, day.end) == (Grain.DAY, _at(), _at(days=1))
    assert (event.grain, event.start, event.end) == (Grain.EVENT, _at(days=1), _at(days=1, seconds=1))
