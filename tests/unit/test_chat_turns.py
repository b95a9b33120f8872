"""A model that says nothing: how long it is waited for while another could answer, and when its silence counts as a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.capabilities.upstream.errors import ProviderUnavailable
from services.chat.generation.breaker import Breakers, BreakerState
from services.chat.generation.live import LiveGeneration
from services.chat.generation.metrics import ChatMetrics
from services.chat.generation.routing import Candidate, Routing
from services.chat.model import Fallback, OnDisconnect, Parameters, State
from services.chat.ports import CatalogModel, ModelCall
from services.kernel.errors import ServiceError
from tests.fakes.chat_chain import answered, chain, failure_of, named, play_of, plays_of
from tests.fakes.chat_play import chat, until
from tests.fakes.chat_records import new_generation

STOP: dict[str, Any] = {"on_disconnect": OnDisconnect.STOP, "disconnect_grace": timedelta(9)}


@pytest.mark.parametrize(("deadline", "total"), [(1.2, 30.0), (None, 1.2)])
async def test_a_silent_model_leaves_the_next_one_the_time_to_answer(
    deadline: float | None, total: float
) -> None:
    first, second = chain("first", "second")
    async with chat(model=first, others=[second], total_timeout=total, retries=2) as it:
        began = time.monotonic()
        id_ = await it.begin(remaining=deadline, **STOP)
        await play_of(second)
        assert 0.5 < time.monotonic() - began < 1.0
        stored = await answered(it, id_, second)
        assert (stored.model, len(plays_of(first)), plays_of(first)[0].closed) == ("second", 1, True)
        events = [event.body for event in await it.store.events(id_, 0, 10)]
        assert Fallback("second", "second.org", "first", "PROVIDER_TIMEOUT") in events


async def test_when_all_are_silent_the_stage_and_the_attempts_are_told() -> None:
    models = chain("first", "second", "third")
    async with chat(model=models[0], others=models[1:]) as it:
        stored = await it.ended(await it.begin(remaining=0.4, **STOP))
        reason, metadata = failure_of(stored)
        assert (reason, metadata["stage"], metadata["model"]) == ("DEADLINE_EXCEEDED", "first_token", "third")
        assert metadata["attempts"] == "first: PROVIDER_TIMEOUT; second: PROVIDER_TIMEOUT"


async def test_a_model_that_nobody_can_stand_in_for_has_all_the_time() -> None:
    first = named("first", fallbacks=("keyless", "nonesuch"))
    async with chat(model=first, others=[named("keyless", not_ready_reason="set A_KEY")]) as it:
        id_ = await it.begin(remaining=1.2, **STOP)
        await asyncio.sleep(0.7)
        assert (await answered(it, id_, first)).model == "first"


async def test_a_model_does_not_give_way_to_one_that_is_left_alone() -> None:
    first, second = chain("first", "second")
    breakers = Breakers(1, 60.0)
    breakers.ask(second).failed()
    async with chat(model=first, others=[second], breakers=breakers) as it:
        id_ = await it.begin(remaining=1.2, **STOP)
        await asyncio.sleep(0.7)
        assert (await answered(it, id_, first)).model == "first"


async def test_a_model_that_has_begun_to_answer_has_all_the_time() -> None:
    first, second = chain("first", "second")
    async with chat(model=first, others=[second]) as it:
        id_ = await it.begin(remaining=1.2, **STOP)
        it.play.say("fi")
        await asyncio.sleep(0.7)
        it.play.say("ne")
        it.play.finish()
        stored = await it.ended(id_)
        assert (stored.state, stored.text, len(plays_of(second))) == (State.COMPLETED, "fine", 0)


async def test_a_pause_past_its_turn_is_not_begun_while_another_can_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.chat.generation.routing._FIRST_PAUSE_SECONDS", 1.5)
    first, second = chain("first", "second")
    async with chat(model=first, others=[second], retries=2) as it:
        began = time.monotonic()
        id_ = await it.begin(remaining=1.6, **STOP)
        it.play.send(ProviderUnavailable("away"))
        await answered(it, id_, second)
        assert time.monotonic() - began < 0.6


# -- what silence counts for


def _candidates(*models: CatalogModel) -> list[Candidate]:
    return [Candidate(one, ModelCall(one.upstream, (), Parameters(), ()), 1) for one in models]


async def _asked_in_vain(
    routing: Routing, models: Sequence[CatalogModel], seconds: float | None
) -> ServiceError:
    new = new_generation()
    live = LiveGeneration(replace(new.generation, model=models[0].name), new.started)
    deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
    with pytest.raises(ServiceError) as told:
        await routing.answer(live, iter(_candidates(*models)), deadline, lambda _: None, lambda: None)
    return told.value


@pytest.mark.parametrize(("deadline", "total"), [(0.1, 30.0), (None, 0.1)])
@pytest.mark.parametrize("fallback", [False, True])
async def test_an_endpoint_that_lets_callers_run_into_their_time_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, deadline: float | None, total: float, fallback: bool
) -> None:
    monkeypatch.setattr("services.chat.generation.routing._FAIR_SECONDS", 0.04)
    models = chain("first", "second") if fallback else [named("first")]
    breakers, registry = Breakers(3, 60.0), CollectorRegistry()
    routing = Routing(total, 0, breakers, ChatMetrics(registry))
    for _ in range(3):
        assert breakers.states().get("https://first/v1", BreakerState.CLOSED) is BreakerState.CLOSED
        await _asked_in_vain(routing, models, deadline)
    assert breakers.states()["https://first/v1"] is BreakerState.OPEN
    outcome = "PROVIDER_TIMEOUT" if fallback else "timeout"
    attempts = {"model": "first", "outcome": outcome}
    assert registry.get_sample_value("antiphon_chat_attempts_total", attempts) == 3
    assert len(plays_of(models[0])) == 3


@pytest.mark.parametrize("patience", [None, 20.0])
async def test_callers_in_a_hurry_take_no_endpoint_from_others(
    monkeypatch: pytest.MonkeyPatch, patience: float | None
) -> None:
    # A second is a twentieth of twenty, and what is fair to a model of which nothing is known.
    monkeypatch.setattr("services.chat.generation.routing._FAIR_SECONDS", 0.05 if patience else 1.0)
    breakers, registry = Breakers(1, 60.0), CollectorRegistry()
    routing = Routing(30.0, 0, breakers, ChatMetrics(registry))
    model = named("first", first_token_timeout=patience)
    for _ in range(2):
        assert (await _asked_in_vain(routing, [model], 0.15)).reason == "DEADLINE_EXCEEDED"
    assert set(breakers.states().values()) == {BreakerState.CLOSED}
    attempts = {"model": "first", "outcome": "timeout"}
    assert registry.get_sample_value("antiphon_chat_attempts_total", attempts) == 2


async def test_who_is_cancelled_while_it_waits_says_nothing_about_the_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.chat.generation.routing._FAIR_SECONDS", 0.0)
    breakers = Breakers(1, 60.0)
    async with chat(model=named("first"), breakers=breakers) as it:
        id_ = await it.begin(remaining=5.0, **STOP)
        await asyncio.sleep(0.02)
        await it.generations.cancel(id_)
        await until(lambda: it.generations.live(id_) is None)
    assert set(breakers.states().values()) == {BreakerState.CLOSED}
