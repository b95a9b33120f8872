"""Whom an answer is not asked of any more, and how long it may look for its model."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from services.capabilities.upstream.errors import (
    ProviderCredential,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from services.chat.generation.breaker import Breakers
from services.chat.model import (
    OnDisconnect,
    State,
)
from services.kernel.errors import ServiceError
from tests.fakes.chat_chain import answered, asking, chain, failure_of, named, play_of, plays_of
from tests.fakes.chat_play import (
    ALICE,
    Play,
    ScriptedProvider,
    a_call,
    chat,
    words,
)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chat.generation.routing._FIRST_PAUSE_SECONDS", 0.01)


# -- left alone


async def test_an_endpoint_that_failed_too_often_is_not_asked() -> None:
    first, second = chain("first", "second")
    async with chat(model=first, others=[second], breakers=Breakers(2, 60.0)) as it:
        for number in (1, 2):
            id_ = await it.begin()
            (await play_of(first, number)).send(ProviderUnavailable("away"))
            await answered(it, id_, second, number)
        id_ = await it.start(ALICE, a_call(), None)
        stored = await answered(it, id_, second, 3)
        assert (len(plays_of(first)), stored.model) == (2, "second")
        assert words(await it.read(id_)) == "fine"


async def test_when_nobody_is_left_the_caller_is_told_how_long() -> None:
    first = named("first")
    async with chat(model=first, retries=5, breakers=Breakers(2, 60.0)) as it:
        id_ = await it.begin()
        for number in (1, 2):
            (await play_of(first, number)).send(ProviderUnavailable("away", metadata={"http_status": "500"}))
        # What the model failed with is told, and not that it has been left alone since.
        assert failure_of(await it.ended(id_)) == ("PROVIDER_UNAVAILABLE", {"http_status": "500"})
        stored = await it.ended(await it.start(ALICE, a_call(), None))
        assert failure_of(stored) == ("PROVIDER_UNAVAILABLE", {"model": "first", "provider": "first.org"})
        assert stored.failure is not None
        assert stored.failure.retry_after is not None
        assert 50 < stored.failure.retry_after <= 60
        assert len(plays_of(first)) == 2


async def test_a_short_pause_that_an_earlier_call_was_asked_for_is_waited_for() -> None:
    first = named("first")
    async with chat(model=first, retries=1) as it:
        id_ = await it.begin()
        (await play_of(first)).send(asking(ProviderRateLimited, 0.2))
        later = await it.start(ALICE, a_call(), None)
        for number in (2, 3):
            play = await play_of(first, number)
            play.say("fine")
            play.finish()
        assert [(await it.ended(one)).state for one in (id_, later)] == [State.COMPLETED] * 2


@pytest.mark.parametrize("error", [ProviderRefused("no"), ProviderCredential("who?"), None])
async def test_refusals_and_cancellations_open_no_breaker(error: ServiceError | None) -> None:
    breakers = Breakers(1, 60.0)
    first = named("first")
    async with chat(model=first, breakers=breakers) as it:
        for _ in range(3):
            id_ = await it.begin()
            if error is None:
                await it.generations.cancel(id_)
            else:
                it.play.send(error)
            await it.ended(id_)
        assert set(breakers.states().values()) == {0}


# -- time


STOP: dict[str, Any] = {"on_disconnect": OnDisconnect.STOP, "disconnect_grace": timedelta(9)}


async def test_the_stage_in_which_the_callers_time_ran_out_is_told() -> None:
    async with chat(retries=5) as it:
        silent = await it.begin(remaining=0.1, **STOP)
        assert failure_of(await it.ended(silent)) == (
            "DEADLINE_EXCEEDED",
            {"model": "scripted", "provider": "test", "stage": "first_token"},
        )
        broken = await it.begin(remaining=0.1, **STOP)
        it.play.say("half")
        stored = await it.ended(broken)
        assert (stored.text, failure_of(stored)[1]["stage"]) == ("half", "between_tokens")


async def test_a_model_that_is_not_reached_in_the_callers_time() -> None:
    class Unreachable(ScriptedProvider):
        async def stream(self, call: Any) -> Any:
            self.plays.append(Play(call))
            await asyncio.Event().wait()
            yield ()

    async with chat(model=named("first", provider=Unreachable())) as it:
        stored = await it.ended(await it.begin(remaining=0.1, **STOP))
        assert failure_of(stored)[1]["stage"] == "connect"


async def test_a_pause_that_would_not_end_in_time_is_not_begun() -> None:
    async with chat(retries=5) as it:
        began = time.monotonic()
        id_ = await it.begin(remaining=1.0, **STOP)
        it.play.send(asking(ProviderUnavailable, 1.0))
        stored = await it.ended(id_)
        assert failure_of(stored)[0] == "PROVIDER_UNAVAILABLE"
        assert time.monotonic() - began < 0.8
        assert len(it.provider.plays) == 1


async def test_the_time_of_an_answer_bounds_all_attempts_together() -> None:
    first, second = chain("first", "second")
    async with chat(model=first, others=[second], total_timeout=0.4) as it:
        id_ = await it.begin()
        await asyncio.sleep(0.1)
        plays_of(first)[0].send(ProviderUnavailable("away"))
        took_over = time.monotonic()
        reason, metadata = failure_of(await it.ended(id_))
        assert (reason, metadata["stage"], metadata["model"]) == ("PROVIDER_TIMEOUT", "total", "second")
        assert metadata["attempts"] == "first: PROVIDER_UNAVAILABLE"
        assert time.monotonic() - took_over < 0.35


async def test_a_model_may_have_a_time_of_its_own() -> None:
    async with chat(model=named("first", total_timeout=0.1)) as it:
        assert failure_of(await it.ended(await it.begin()))[1]["stage"] == "total"
