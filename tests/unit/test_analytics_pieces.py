"""The steps of a span are cut where a price changes, and nowhere else."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.model.figures import Piece
from services.analytics.model.prices import Price, PriceBook
from services.analytics.model.steps import Bucket, steps
from services.analytics.usecases.reckoning import pieces_of
from services.analytics.usecases.spans import span_of
from tests.fakes.analytics_events import MILLISECOND
from tests.fakes.analytics_exact import prices_over
from tests.fakes.analytics_stage import NOW, a_price

START = NOW - timedelta(days=2)


@settings(max_examples=50)
@given(prices_over("ab"), st.sampled_from([Bucket.NONE, Bucket.HOUR, Bucket.DAY]))
def test_pieces_cover_the_steps_and_end_where_steps_do_or_prices_change(
    prices: list[Price], bucket: Bucket
) -> None:
    span = span_of(START, NOW, "", bucket, NOW)
    made = steps(span)
    pieces = pieces_of(span, made, PriceBook(prices))
    assert all(piece.start < piece.end for piece in pieces)
    assert all(one.end == following.start for one, following in itertools.pairwise(pieces))
    changes = {price.effective_time for price in prices if START < price.effective_time < NOW}
    assert {piece.start for piece in pieces} == {start for start, _ in made} | changes
    assert all(made[piece.step][0] <= piece.start and piece.end <= made[piece.step][1] for piece in pieces)


def test_a_price_that_changes_as_a_step_begins_cuts_no_step() -> None:
    hour = NOW.replace(minute=0)
    span = span_of(hour - timedelta(hours=1), hour + timedelta(hours=1), "", Bucket.HOUR, NOW)
    made = steps(span)
    whole = tuple(Piece(start, end, number) for number, (start, end) in enumerate(made))
    assert pieces_of(span, made, PriceBook([a_price(1), a_price(2, at=hour)])) == whole
    later = pieces_of(span, made, PriceBook([a_price(1), a_price(2, at=hour + MILLISECOND)]))
    assert later[1:] == (
        Piece(hour, hour + MILLISECOND, 1),
        Piece(hour + MILLISECOND, span.end, 1),
    )
