"""Percentiles of durations are near the exact ones, however the durations were added up."""

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.model.histogram import added, bucket_of, midpoint, quantiles

LONGEST = 32 * 86_400_000_000
DURATIONS = st.one_of(
    st.integers(1, 200),
    st.integers(1, LONGEST),
    st.integers(0, 41).map(lambda power: 2**power),
    st.just(LONGEST),
)
PERCENTILES = (Fraction(50, 100), Fraction(90, 100), Fraction(99, 100))


def near(told: int, exact: int) -> bool:
    """Within 2 %."""
    return 50 * abs(told - exact) <= exact


def nearest_rank(durations: list[int], percentile: Fraction) -> int:
    return sorted(durations)[math.ceil(percentile * len(durations)) - 1]


@given(st.lists(DURATIONS, min_size=1, max_size=300))
def test_percentiles_are_within_two_percent_of_the_exact_ones(durations: list[int]) -> None:
    histogram = Counter(map(bucket_of, durations))
    found = quantiles(histogram, [float(one) for one in PERCENTILES])
    for told, percentile in zip(found, PERCENTILES, strict=True):
        assert near(told, nearest_rank(durations, percentile))


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 99, 100, 101, 1000, 70_000, 99_999])
def test_a_percentile_is_the_duration_of_its_rank(count: int) -> None:
    # As many short ones as the 90th percentile still takes: one short one less, and it is a long one.
    rank = math.ceil(Fraction(9, 10) * count)
    short, long = bucket_of(1000), bucket_of(1_000_000)
    rest = {long: count - rank} if count > rank else {}
    assert near(quantiles({short: rank, **rest}, [0.9])[0], 1000)
    if rank > 1:
        assert near(quantiles({short: rank - 1, long: count - rank + 1}, [0.9])[0], 1_000_000)


@given(st.lists(st.lists(DURATIONS, max_size=50), max_size=6))
def test_histograms_added_up_are_that_of_all_durations(parts: list[list[int]]) -> None:
    whole = Counter(bucket_of(one) for part in parts for one in part)
    assert added(Counter(map(bucket_of, part)) for part in parts) == whole


@given(DURATIONS, DURATIONS)
def test_longer_durations_are_in_no_lower_bucket(one: int, other: int) -> None:
    shorter, longer = sorted((one, other))
    assert bucket_of(shorter) <= bucket_of(longer)
    assert midpoint(bucket_of(shorter)) <= midpoint(bucket_of(longer))


def test_a_bucket_stands_for_each_short_duration() -> None:
    wrong = [one for one in range(1, 20_000) if not near(midpoint(bucket_of(one)), one)]
    assert wrong == []


@given(DURATIONS)
def test_a_bucket_stands_for_each_duration_in_it(duration: int) -> None:
    assert near(midpoint(bucket_of(duration)), duration)
    assert midpoint(bucket_of(duration)) <= LONGEST


def test_nothing_took_nothing() -> None:
    assert quantiles({bucket_of(0): 3}, [0.5]) == [0]


def test_stores_can_keep_every_bucket_in_eleven_bits() -> None:
    assert 0 <= bucket_of(0) <= bucket_of(LONGEST) < 2**11
