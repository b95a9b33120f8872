"""How an answer finds its model: asked again where that may help, then the next of the chain, within the time that there is."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from services.capabilities.upstream.errors import (
    ProviderCredential,
    ProviderFailure,
    ProviderModelGone,
    ProviderProtocol,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)
from services.chat.model import (
    Capability,
    Fallback,
    FinishReason,
    Started,
    State,
    Tool,
)
from services.chat.ports import Done
from tests.fakes.chat_chain import answered, asking, chain, failure_of, named, play_of, plays_of, timeout
from tests.fakes.chat_play import (
    chat,
    is_dense,
    until,
    watched,
    words,
)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chat.generation.routing._FIRST_PAUSE_SECONDS", 0.01)


# -- again


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable("away"),
        ProviderProtocol("odd"),
        ProviderRateLimited("slowly"),
        timeout("connect"),
        timeout("first_token"),
    ],
)
async def test_what_may_pass_is_tried_again(error: ProviderFailure) -> None:
    async with chat(retries=2) as it:
        id_ = await it.begin()
        it.play.send(error)
        stored = await answered(it, id_, it.start.catalog.default, 2)
        assert stored.failure is None
        assert [event.error_reason for event in it.store.usage] == [""]


@pytest.mark.parametrize(
    "error",
    [
        ProviderRefused("no"),
        ProviderCredential("who?"),
        ProviderModelGone("gone"),
        timeout("between_tokens"),
        asking(ProviderRateLimited, 6.0),
        asking(ProviderUnavailable, 6.0),
    ],
)
async def test_what_asking_again_would_not_cure_is_told_at_once(error: ProviderFailure) -> None:
    async with chat(retries=2) as it:
        id_ = await it.begin()
        it.play.send(error)
        assert failure_of(await it.ended(id_))[0] == error.reason
        assert len(it.provider.plays) == 1


@pytest.mark.parametrize(
    ("error", "attempts"), [(ProviderUnavailable("away"), 3), (timeout("first_token"), 2)]
)
async def test_it_is_tried_so_often_and_no_more(error: ProviderFailure, attempts: int) -> None:
    async with chat(retries=2) as it:
        model = it.start.catalog.default
        id_ = await it.begin()
        for number in range(1, attempts + 1):
            (await play_of(model, number)).send(error)
        assert failure_of(await it.ended(id_)) == (error.reason, dict(error.metadata))
        assert len(it.provider.plays) == attempts


async def test_nothing_is_asked_again_behind_the_first_token() -> None:
    first, second = chain("first", "second")
    async with chat(model=first, others=[second], retries=2) as it:
        id_ = await it.begin()
        it.play.say("half")
        it.play.send(ProviderUnavailable("it broke"))
        stored = await it.ended(id_)
        assert (stored.text, failure_of(stored)[0]) == ("half", "PROVIDER_UNAVAILABLE")
        assert (len(plays_of(first)), len(plays_of(second))) == (1, 0)


async def test_a_pause_that_the_provider_asks_for_is_kept() -> None:
    async with chat(retries=1) as it:
        id_ = await it.begin()
        asked = time.monotonic()
        it.play.send(asking(ProviderRateLimited, 0.15))
        await answered(it, id_, it.start.catalog.default, 2)
        assert time.monotonic() - asked >= 0.15


async def test_a_cancelled_call_is_not_asked_again() -> None:
    first, second = chain("first", "second")
    async with chat(model=first, others=[second], retries=2) as it:
        id_ = await it.begin()
        it.play.send(asking(ProviderUnavailable, 1.0))
        await until(lambda: plays_of(first)[0].closed)
        await it.generations.cancel(id_)
        assert (await it.stored(id_)).state is State.CANCELLED
        assert (len(plays_of(first)), len(plays_of(second))) == (1, 0)


# -- the next of the chain


@pytest.mark.parametrize(
    "error",
    [
        ProviderCredential("who?"),
        ProviderModelGone("gone"),
        ProviderRateLimited("slowly"),
        asking(ProviderRateLimited, 3.0),
        ProviderUnavailable("away"),
        timeout("first_token"),
        ProviderRefused("elsewhere", metadata={"http_status": "302"}),
    ],
)
async def test_another_model_takes_over_and_the_record_says_so(error: ProviderFailure) -> None:
    first, second = chain("first", "second")
    async with chat(model=first, others=[second]) as it:
        id_, viewer = await watched(it)
        plays_of(first)[0].send(error)
        stored = await answered(it, id_, second)
        await viewer.task
        started, fallback = (event.body for event in viewer.events[:2])
        assert isinstance(started, Started)
        assert started.model == "first"
        assert fallback == Fallback("second", "second.org", "first", error.reason)
        assert is_dense(viewer.events)
        assert words(viewer.events) == "fine"
        assert (stored.requested_model, stored.model, stored.provider) == ("first", "second", "second.org")
        (event,) = it.store.usage
        assert (event.model, event.provider) == ("second", "second.org")
        assert plays_of(second)[0].call.upstream_model == "second-1"
        assert plays_of(second)[0].call.messages == plays_of(first)[0].call.messages
        again = await it.read(id_, viewer.events[1].seq)
        assert words(again) == "fine"


@pytest.mark.parametrize("status", ["400", "422"])
async def test_what_is_wrong_with_the_request_is_wrong_for_every_model(status: str) -> None:
    first, second = chain("first", "second")
    async with chat(model=first, others=[second]) as it:
        id_ = await it.begin()
        it.play.send(ProviderRefused("no", metadata={"http_status": status}))
        assert failure_of(await it.ended(id_)) == ("PROVIDER_REFUSED", {"http_status": status})
        assert not plays_of(second)


async def test_when_all_have_failed_the_caller_is_told_of_all() -> None:
    first, second, third = chain("first", "second", "third")
    async with chat(model=first, others=[second, third]) as it:
        id_ = await it.begin()
        plays_of(first)[0].send(asking(ProviderRateLimited, 60.0))
        (await play_of(second)).send(timeout("first_token"))
        (await play_of(third)).send(
            ProviderUnavailable("away", retry_after=90.0, metadata={"model": "third"})
        )
        stored = await it.ended(id_)
        assert failure_of(stored) == (
            "PROVIDER_UNAVAILABLE",
            {
                "model": "third",
                "requested_model": "first",
                "attempts": "first: PROVIDER_RATE_LIMITED; second: PROVIDER_TIMEOUT; third: PROVIDER_UNAVAILABLE",
            },
        )
        assert stored.failure is not None
        assert stored.failure.retry_after == 60.0
        events = [event.body for event in await it.store.events(id_, 0, 10)]
        assert [body.failed_model for body in events if isinstance(body, Fallback)] == ["first", "second"]
        assert stored.model == "third"


async def test_who_can_not_answer_the_call_is_passed_over() -> None:
    able = {"capabilities": frozenset({Capability.TOOLS})}
    others = [
        named("dumb"),
        named("keyless", not_ready_reason="set A_KEY", **able),
        named("narrow", context_tokens=8, **able),
        named("good", fallbacks=("other",), **able),
        named("other", **able),
    ]
    names = ("first", "dumb", "keyless", "nonesuch", "narrow", "good", "good")
    first = named("first", fallbacks=names, **able)
    async with chat(model=first, others=others) as it:
        id_ = await it.begin(tools=(Tool("look", "", ""),), message="word " * 20)
        plays_of(first)[0].send(ProviderUnavailable("away"))
        (await play_of(others[3])).send(ProviderUnavailable("away"))
        _, metadata = failure_of(await it.ended(id_))
        assert metadata["attempts"] == "first: PROVIDER_UNAVAILABLE; good: PROVIDER_UNAVAILABLE"
        assert [len(plays_of(model)) for model in (first, *others)] == [1, 0, 0, 0, 1, 0]


async def test_each_failed_attempt_is_one_line_of_the_log_with_the_providers_id_of_it() -> None:
    first, second = chain("first", "second")
    refused = ProviderCredential("who?", metadata={"http_status": "401", "model": "first"})
    refused.upstream_request_id, refused.said = "up-1", "no such key"
    with capture_logs() as logs:
        async with chat(model=first, others=[second]) as it:
            id_ = await it.begin()
            it.play.send(refused)
            (await play_of(second)).send(Done(FinishReason.STOP, None, "up-2"))
            await it.ended(id_)
    failed, done = (line for line in logs if "upstream_request_id" in line)
    assert (failed["generation_id"], failed["model"], failed["provider"]) == (id_, "first", "first.org")
    assert (failed["upstream_request_id"], failed["said"]) == ("up-1", "no such key")
    assert (failed["reason"], failed["http_status"], failed["log_level"]) == (
        "PROVIDER_CREDENTIAL",
        "401",
        "warning",
    )
    assert (done["generation_id"], done["model"], done["upstream_request_id"]) == (id_, "second", "up-2")
