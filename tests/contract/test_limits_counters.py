"""What Counters promises, of every place that counts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.limit_places import WINDOW, Place, in_memory, in_mongo, in_postgres, let_in, take_many


@pytest.fixture(params=["memory", "postgres", pytest.param("mongo", marks=pytest.mark.peers)])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        async with in_memory() as made:
            yield made
    elif request.param == "mongo":
        async with in_mongo(request.getfixturevalue("mongo_url")) as made:
            yield made
    else:
        async with in_postgres(request.getfixturevalue("postgres_url")) as made:
            yield made


async def test_as_many_calls_as_the_limit_are_let_in_one_after_the_other(place: Place) -> None:
    counts = [await place.counters.take("chat", "ana", 3) for _ in range(5)]
    assert [count.allowed for count in counts] == [True, True, True, False, False]
    assert [count.remaining for count in counts] == [2, 1, 0, 0, 0]


async def test_exactly_the_limit_is_let_in_when_all_ask_at_once(place: Place) -> None:
    counts = await take_many(place.counters, 200, 37)
    assert let_in(counts) == 37
    assert sorted(count.remaining for count in counts if count.allowed) == list(range(37))
    assert let_in(await take_many(place.counters, 20, 37)) == 0


async def test_callers_and_classes_do_not_share_their_counts(place: Place) -> None:
    assert (await place.counters.take("chat", "ana", 1)).allowed
    assert (await place.counters.take("chat", "ben", 1)).allowed
    assert (await place.counters.take("image", "ana", 1)).allowed
    assert not (await place.counters.take("chat", "ana", 1)).allowed


async def test_many_callers_who_ask_at_once_each_get_their_own(place: Place) -> None:
    callers = [f"caller {number % 700}" for number in range(2100)]
    random.Random(7).shuffle(callers)
    counts = await asyncio.gather(*(place.counters.take("chat", caller, 2) for caller in callers))
    by_caller = dict.fromkeys(callers, 0)
    for caller, count in zip(callers, counts, strict=True):
        by_caller[caller] += count.allowed
    assert set(by_caller.values()) == {2}


async def test_a_window_begins_with_the_first_call_and_a_new_one_with_the_next_after_its_end(
    place: Place,
) -> None:
    first = await place.counters.take("chat", "ana", 2)
    assert first.reset_after == pytest.approx(WINDOW, abs=5)
    await place.pass_seconds(40)
    second = await place.counters.take("chat", "ana", 2)
    assert second.reset_after == pytest.approx(WINDOW - 40, abs=5)
    refused = await place.counters.take("chat", "ana", 2)
    assert not refused.allowed
    await place.pass_seconds(100)
    again = await place.counters.take("chat", "ana", 2)
    assert again.allowed
    assert again.remaining == 1
    assert again.reset_after == pytest.approx(WINDOW, abs=5)


async def test_what_is_refused_changes_nothing(place: Place) -> None:
    await take_many(place.counters, 3, 3)
    await place.pass_seconds(30)
    assert let_in(await take_many(place.counters, 50, 3)) == 0
    refused = await place.counters.take("chat", "ana", 3)
    assert refused.reset_after <= 30
    await place.pass_seconds(31)
    assert let_in(await take_many(place.counters, 50, 3)) == 3


async def test_the_wait_that_a_refused_call_is_told_is_true_to_a_tenth_of_a_second(place: Place) -> None:
    await take_many(place.counters, 2, 2)
    refused = await place.counters.take("chat", "ana", 2)
    assert not refused.allowed
    await place.pass_seconds(refused.reset_after - 0.1)
    assert not (await place.counters.take("chat", "ana", 2)).allowed or refused.reset_after < 0.1
    await place.pass_seconds(0.2)
    assert (await place.counters.take("chat", "ana", 2)).allowed


async def test_windows_that_have_ended_are_pruned_and_others_are_not(place: Place) -> None:
    await place.counters.take("chat", "ana", 1)
    await place.pass_seconds(WINDOW + 1)
    await place.counters.take("chat", "ben", 1)
    assert await place.counters.prune() == 1
    assert await place.counters.prune() == 0
    assert not (await place.counters.take("chat", "ben", 1)).allowed
    assert (await place.counters.take("chat", "ana", 1)).allowed


async def test_a_call_whose_caller_went_away_holds_up_nobody(place: Place) -> None:
    going = [asyncio.ensure_future(place.counters.take("chat", "ana", 5)) for _ in range(10)]
    await asyncio.sleep(0)
    for one in going:
        one.cancel()
    await asyncio.gather(*going, return_exceptions=True)
    assert let_in(await take_many(place.counters, 10, 5)) <= 5
    assert let_in(await take_many(place.counters, 10, 5, "ben")) == 5


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(["ana", "ben"]), st.integers(1, 6)),
        st.tuples(st.just("pass"), st.just(""), st.integers(1, 70)),
        st.tuples(st.just("prune"), st.just(""), st.just(0)),
    ),
    min_size=1,
    max_size=25,
)


class Model:
    """The promise, as simply as it can be said."""

    LIMIT = 4

    def __init__(self) -> None:
        self.now = 0.0
        self._let_in: dict[str, list[float]] = {}

    def take(self, caller: str, times: int) -> int:
        window = self._let_in.get(caller)
        if window is None or self.now >= window[0] + WINDOW:
            window = self._let_in[caller] = [self.now]
            times -= 1
            first = 1
        else:
            first = 0
        more = min(times, self.LIMIT - len(window))
        window += [self.now] * more
        return first + more


async def play(place: Place, steps: list[tuple[str, str, int]]) -> None:
    model = Model()
    for step, caller, number in steps:
        if step == "take":
            counts = await take_many(place.counters, number, Model.LIMIT, caller)
            assert let_in(counts) == model.take(caller, number)
        elif step == "pass":
            # Not a whole window to the moment: the database's clock goes on by itself.
            await place.pass_seconds(number + 0.5)
            model.now += number + 0.5
        else:
            await place.counters.prune()


@given(STEPS)
def test_memory_counts_like_the_model(steps: list[tuple[str, str, int]]) -> None:
    async def run() -> None:
        async with in_memory() as place:
            await play(place, steps)

    asyncio.run(run())


async def test_postgres_counts_like_the_model(postgres_url: str) -> None:
    found: list[list[tuple[str, str, int]]] = []

    @settings(max_examples=25, database=None)
    @given(STEPS)
    def gather(steps: list[tuple[str, str, int]]) -> None:
        found.append(steps)

    gather()
    async with in_postgres(postgres_url) as place:
        for number, steps in enumerate(found):
            await play(place, [(step, f"{caller} {number}", times) for step, caller, times in steps])
