"""When an endpoint is left alone, and when it is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.capabilities.upstream.errors import ProviderFailure, ProviderRateLimited, ProviderUnavailable
from services.chat.generation.breaker import Breakers, BreakerState, EndpointLeftAlone
from services.chat.ports import CatalogModel
from services.kernel.errors import ServiceError
from tests.fakes.chat_play import a_model

ENDPOINT = "https://models.example/v1"


class Clock:
    """Time that a test moves on."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breakers(clock: Clock) -> Breakers:
    """Three failures in a row open it for ten seconds."""
    return Breakers(3, 10.0, clock)


def a_model_at(endpoint: str = ENDPOINT, upstream: str = "one") -> CatalogModel:
    return replace(a_model(), endpoint=endpoint, upstream=upstream)


MODEL = a_model_at()


def fail(breakers: Breakers, times: int = 1, model: CatalogModel = MODEL) -> None:
    for _ in range(times):
        permit = breakers.ask(model)
        permit.failed()
        permit.release()


def succeed(breakers: Breakers) -> None:
    assert not breakers.leaves_alone(MODEL)
    permit = breakers.ask(MODEL)
    permit.succeeded()
    permit.release()


def refused(breakers: Breakers, model: CatalogModel = MODEL) -> ServiceError:
    assert breakers.leaves_alone(model)
    with pytest.raises(ServiceError) as told:
        breakers.ask(model)
    return told.value


def state(breakers: Breakers) -> BreakerState:
    return breakers.states()[ENDPOINT]


def test_failures_in_a_row_open_it_for_all_models_of_the_endpoint(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, 2)
    succeed(breakers)
    fail(breakers, 2)
    assert state(breakers) is BreakerState.CLOSED
    fail(breakers)
    assert state(breakers) is BreakerState.OPEN
    clock.time += 4
    error = refused(breakers, a_model_at(upstream="another"))
    assert isinstance(error, EndpointLeftAlone)
    assert (error.reason, error.retry_after) == ("PROVIDER_UNAVAILABLE", 6.0)
    assert error.metadata == {"model": "scripted", "provider": "test"}
    breakers.ask(a_model_at("https://elsewhere.example/v1"))


def test_after_a_while_one_call_at_a_time_tries_it(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, 3)
    clock.time += 10
    assert state(breakers) is BreakerState.HALF_OPEN
    probe = breakers.ask(MODEL)
    assert refused(breakers).retry_after == 1.0
    probe.began()
    assert state(breakers) is BreakerState.CLOSED
    fail(breakers, 2)
    breakers.ask(MODEL)


def test_a_probe_that_fails_leaves_it_alone_again(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, 3)
    clock.time += 10
    fail(breakers)
    assert state(breakers) is BreakerState.OPEN
    assert refused(breakers).retry_after == 10.0


def test_a_probe_that_was_cancelled_makes_room_for_the_next(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, 3)
    clock.time += 10
    for _ in range(3):
        breakers.ask(MODEL).release()
    assert state(breakers) is BreakerState.HALF_OPEN
    succeed(breakers)
    assert state(breakers) is BreakerState.CLOSED


def test_a_cancelled_call_is_neither_a_failure_nor_a_success(breakers: Breakers) -> None:
    fail(breakers, 2)
    breakers.ask(MODEL).release()
    fail(breakers)
    assert state(breakers) is BreakerState.OPEN


def test_what_was_asked_before_it_opened_tells_nothing_afterwards(breakers: Breakers, clock: Clock) -> None:
    early = [breakers.ask(MODEL) for _ in range(4)]
    fail(breakers, 3)
    early[0].succeeded()
    assert state(breakers) is BreakerState.OPEN
    clock.time += 9
    early[1].failed()
    assert refused(breakers).retry_after == 1.0
    clock.time += 1
    probe = breakers.ask(MODEL)
    early[2].failed()
    early[2].release()
    assert refused(breakers).retry_after == 1.0
    probe.succeeded()
    early[3].failed()
    fail(breakers, 2)
    assert state(breakers) is BreakerState.CLOSED


def test_a_probe_that_breaks_off_after_its_first_token_counts_once(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, 3)
    clock.time += 10
    probe = breakers.ask(MODEL)
    probe.began()
    probe.failed()
    probe.release()
    assert state(breakers) is BreakerState.CLOSED
    fail(breakers, 2)
    assert state(breakers) is BreakerState.OPEN


def test_what_has_no_endpoint_has_no_breaker(breakers: Breakers) -> None:
    echo = a_model_at("")
    fail(breakers, 10, echo)
    breakers.ask(echo)
    assert breakers.states() == {}


def test_it_can_be_switched_off() -> None:
    breakers = Breakers(0, 10.0)
    fail(breakers, 100)
    breakers.ask(MODEL)


def _asking(kind: type[ProviderFailure], seconds: float | None) -> ProviderFailure:
    error = kind("a while, please")
    error.asked_pause = seconds
    return error


@pytest.mark.parametrize("kind", [ProviderRateLimited, ProviderUnavailable])
def test_a_pause_that_a_provider_asks_for_is_that_of_one_model(
    breakers: Breakers, clock: Clock, kind: type[ProviderFailure]
) -> None:
    breakers.pause(MODEL, _asking(kind, 7.0))
    clock.time += 2
    error = refused(breakers)
    assert type(error) is kind
    assert (error.retry_after, error.asked_pause) == (5.0, 5.0)
    breakers.ask(a_model_at(upstream="another"))
    breakers.ask(a_model_at("https://elsewhere.example/v1"))
    clock.time += 5
    breakers.ask(MODEL)


def test_a_pause_is_bounded(breakers: Breakers, clock: Clock) -> None:
    breakers.pause(MODEL, _asking(ProviderRateLimited, 86_400.0))
    clock.time += 300
    breakers.ask(MODEL)


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_who_asks_for_no_pause_gets_none(breakers: Breakers, seconds: float | None) -> None:
    breakers.pause(MODEL, _asking(ProviderRateLimited, seconds))
    breakers.ask(MODEL)


# -- callers that wait no longer


def give_up(breakers: Breakers, clock: Clock, after: float, fair: float = 1.0) -> None:
    permit = breakers.ask(MODEL)
    clock.time += after
    permit.gave_up(fair)
    permit.release()


def test_silence_that_was_waited_for_fairly_is_a_failure(breakers: Breakers, clock: Clock) -> None:
    for _ in range(5):
        give_up(breakers, clock, after=0.9)
    assert breakers.states()[ENDPOINT] is BreakerState.CLOSED
    for _ in range(3):
        give_up(breakers, clock, after=1.0)
    assert breakers.states()[ENDPOINT] is BreakerState.OPEN


@pytest.mark.parametrize("sign", ["began", "succeeded"])
def test_silence_to_one_caller_is_none_while_others_are_answered(
    breakers: Breakers, clock: Clock, sign: str
) -> None:
    for _ in range(5):
        other = breakers.ask(MODEL)
        permit = breakers.ask(MODEL)
        clock.time += 1.0
        getattr(other, sign)()
        clock.time += 1.0
        permit.gave_up(1.0)
    assert breakers.states()[ENDPOINT] is BreakerState.CLOSED


def test_a_probe_that_was_given_up_early_leaves_the_next_caller_to_try(
    breakers: Breakers, clock: Clock
) -> None:
    fail(breakers, 3)
    clock.time += 10.0
    give_up(breakers, clock, after=0.1)
    assert breakers.states()[ENDPOINT] is BreakerState.HALF_OPEN
    give_up(breakers, clock, after=1.0)
    assert breakers.states()[ENDPOINT] is BreakerState.OPEN
