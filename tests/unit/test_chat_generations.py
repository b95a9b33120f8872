"""How generations of this process live and end."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from services.capabilities.metering.model import Provenance, Unit, Usage, UsageStatus
from services.capabilities.upstream.errors import ProviderUnavailable
from services.chat.generation.tokens import estimate_tokens
from services.chat.model import (
    FinishReason,
    OnDisconnect,
    ReasoningDelta,
    Role,
    State,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from services.chat.ports import Done
from services.kernel.errors import (
    DeadlineExceeded,
    ServiceError,
    Unavailable,
)
from tests.fakes.chat_play import (
    ALICE,
    Viewer,
    a_call,
    chat,
    finished,
    stop_after,
    until,
    watched,
    words,
)

USAGE = Usage({Unit.INPUT_TOKENS: 3, Unit.OUTPUT_TOKENS: 2}, Provenance.REPORTED)


async def test_an_answer_that_ends_well() -> None:
    async with chat() as it:
        id_ = await it.begin()
        reading = asyncio.create_task(it.read(id_))
        it.play.say("Hola", " mundo")
        it.play.send(Done(FinishReason.LENGTH, USAGE))
        events = await reading
        stored = await it.ended(id_)
        assert words(events) == "Hola mundo"
        assert (finished(events).reason, finished(events).usage) == (FinishReason.LENGTH, USAGE)
        assert finished(events).message_id == stored.message_id
        assert (stored.state, stored.text, stored.last_seq) == (State.COMPLETED, "Hola mundo", events[-1].seq)
        context = await it.store.context(stored.session_id, "alice", 10)
        assert context is not None
        assert [(m.role, m.text) for m in context[1]] == [
            (Role.USER, "¿Qué es una orden inbound?"),
            (Role.ASSISTANT, "Hola mundo"),
        ]
        (event,) = it.store.usage
        assert (event.status, event.usage, event.user_id) == (UsageStatus.SUCCESS, USAGE, "alice")
        assert event.time_to_first_token is not None
        assert timedelta() <= event.time_to_first_token <= event.latency


async def test_reasoning_and_tool_calls_are_kept() -> None:
    async with chat() as it:
        id_ = await it.begin()
        it.play.send([ReasoningDelta("hm "), ToolCallDelta(0, "c1", "look", '{"a":')])
        it.play.send([ToolCallDelta(0, "", "", "1}")])
        it.play.finish(FinishReason.TOOL_CALLS)
        stored = await it.ended(id_)
        assert (stored.reasoning, stored.text) == ("hm ", "")
        assert stored.tool_calls == (ToolCall("c1", "look", '{"a":1}'),)


async def test_usage_is_estimated_when_the_provider_does_not_tell() -> None:
    async with chat() as it:
        id_ = await it.begin()
        it.play.say("x" * 400)
        it.play.finish()
        usage = (await it.ended(id_)).usage
        assert usage is not None
        assert usage.provenance is Provenance.ESTIMATED
        assert usage.quantities[Unit.OUTPUT_TOKENS] == estimate_tokens("x" * 400)
        assert usage.quantities[Unit.INPUT_TOKENS] > 0


@pytest.mark.parametrize("made", ["", "half of"])
async def test_a_failure_of_the_provider_is_told_to_all_and_recorded(made: str) -> None:
    async with chat() as it:
        id_ = await it.begin()
        reading = asyncio.create_task(it.read(id_))
        if made:
            it.play.say(made)
        it.play.send(ProviderUnavailable("it broke", metadata={"model": "scripted"}))
        with pytest.raises(Unavailable) as told:
            await reading
        stored = await it.ended(id_)
        assert (stored.state, stored.text) == (State.FAILED, made)
        with pytest.raises(Unavailable) as told_later:
            await it.read(id_)
        for error in (told.value, told_later.value):
            assert (error.reason, error.message) == ("PROVIDER_UNAVAILABLE", "it broke")
        (event,) = it.store.usage
        assert (event.status, event.error_reason) == (UsageStatus.ERROR, "PROVIDER_UNAVAILABLE")
        assert bool(event.usage.quantities) == bool(made)


@pytest.mark.parametrize("made", ["", "half of"])
async def test_a_request_id_is_free_again_only_when_nothing_was_made(made: str) -> None:
    async with chat() as it:
        call: dict[str, Any] = {"request_id": "r1", "digest": b"d"}
        id_ = await it.begin(**call)
        if made:
            it.play.say(made)
        it.play.send(ProviderUnavailable("it broke"))
        await it.ended(id_)
        again = await it.start(ALICE, a_call(**call), None)
        assert (again == id_) == bool(made)


async def test_a_defect_of_the_provider_is_masked() -> None:
    async with chat() as it:
        id_ = await it.begin()
        reading = asyncio.create_task(it.read(id_))
        it.play.say("half")
        it.play.send(KeyError("secret inner matter"))
        with pytest.raises(ServiceError) as told:
            await reading
        assert told.value.reason == "INTERNAL"
        assert "secret" not in told.value.message
        stored = await it.ended(id_)
        assert (stored.state, stored.text) == (State.FAILED, "half")


@pytest.mark.parametrize("defect", [asyncio.CancelledError(), TimeoutError(), StopAsyncIteration()])
async def test_a_provider_that_ends_strangely_has_failed(defect: BaseException) -> None:
    async with chat() as it:
        id_ = await it.begin()
        it.play.send(defect)
        stored = await it.ended(id_)
        assert stored.state is State.FAILED
        assert stored.failure is not None
        assert stored.failure.reason == "INTERNAL"


async def test_cancelling_keeps_what_was_made_and_closes_the_provider() -> None:
    async with chat() as it:
        id_ = await it.begin()
        reading = asyncio.create_task(it.read(id_))
        it.play.say("half of it")
        await it.durable(id_, 2)
        it.play.say(" and some")
        ended = await it.cancel(ALICE, id_, "")
        assert it.play.closed
        assert ended.state is State.CANCELLED
        assert ended.finish_reason is FinishReason.CANCELLED
        assert ended.text.startswith("half of it")
        events = await reading
        assert finished(events).reason is FinishReason.CANCELLED
        assert words(events) == ended.text
        assert await it.cancel(ALICE, id_, "") == ended
        assert [event.status for event in it.store.usage] == [UsageStatus.CANCELLED]


async def test_what_nobody_watches_any_more_stops_at_once_without_a_grace() -> None:
    async with chat() as it:
        id_, first = await watched(it, **stop_after(0))
        second = Viewer(it, id_)
        await until(lambda: second.events)
        it.play.say("half")
        await it.durable(id_, 2)
        await first.leave()
        await asyncio.sleep(0.02)
        assert not it.play.closed
        left = time.monotonic()
        await second.leave()
        await until(lambda: it.play.closed)
        assert time.monotonic() - left < 1.0
        stored = await it.ended(id_)
        assert (stored.state, stored.text) == (State.CANCELLED, "half")


async def test_a_caller_that_goes_on_to_watch_is_in_time_even_without_a_grace() -> None:
    async with chat() as it:
        id_ = await it.start(ALICE, a_call(**stop_after(0)), None)
        async with aclosing(it.watch(id_, 0)) as events:  # type: ignore[type-var]
            await anext(events)
            await until(lambda: it.provider.plays)
            it.play.say("all of it")
            it.play.finish()
            rest = [event async for event in events]
        assert finished(rest).reason is FinishReason.STOP


async def test_a_watcher_that_returns_within_the_grace_keeps_it_alive() -> None:
    async with chat() as it:
        id_, viewer = await watched(it, **stop_after(0.15))
        it.play.say("one ")
        await it.durable(id_, 2)
        await viewer.leave()
        again = Viewer(it, id_, viewer.events[-1].seq)
        await asyncio.sleep(0.25)
        assert not it.play.closed
        it.play.say("two")
        it.play.finish()
        await again.task
        assert words([*viewer.events, *again.events]) == "one two"


async def test_a_grace_that_is_over_stops_it() -> None:
    async with chat() as it:
        id_, viewer = await watched(it, **stop_after(0.1))
        await viewer.leave()
        assert not it.play.closed
        assert (await it.ended(id_)).state is State.CANCELLED


async def test_a_call_that_is_to_continue_goes_on_without_watchers() -> None:
    async with chat() as it:
        id_ = await it.begin()
        viewer = Viewer(it, id_)
        await until(lambda: viewer.events)
        await viewer.leave()
        it.play.say("to the end")
        it.play.finish()
        assert (await it.ended(id_)).text == "to the end"


async def test_the_deadline_of_a_caller_bounds_what_is_made_for_it_alone() -> None:
    async with chat() as it:
        bound = await it.begin(remaining=0.05, on_disconnect=OnDisconnect.STOP, disconnect_grace=timedelta(9))
        with pytest.raises(DeadlineExceeded) as told:
            await it.read(bound)
        assert (told.value.reason, told.value.metadata["stage"]) == ("DEADLINE_EXCEEDED", "first_token")
        assert it.play.closed
        free = await it.begin(remaining=0.01, on_disconnect=OnDisconnect.CONTINUE)
        await asyncio.sleep(0.05)
        it.play.say("later")
        it.play.finish()
        assert (await it.ended(free)).state is State.COMPLETED


async def test_an_answer_that_takes_too_long_has_failed() -> None:
    async with chat(total_timeout=0.3) as it:
        id_ = await it.begin()
        it.play.say("slow")
        stored = await it.ended(id_)
        assert (stored.state, stored.text) == (State.FAILED, "slow")
        assert stored.failure is not None
        assert stored.failure.metadata["stage"] == "total"


async def test_an_answer_that_grows_too_long_is_ended_and_kept() -> None:
    async with chat(max_answer_bytes=1000) as it:
        id_ = await it.begin()
        it.play.say("x" * 600, "y" * 600, "never read")
        stored = await it.ended(id_)
        assert it.play.closed
        assert stored.state is State.FAILED
        assert stored.failure is not None
        assert stored.failure.reason == "TOO_LONG"
        assert stored.text == "x" * 600 + "y" * 600


async def test_endless_empty_deltas_are_too_long_as_well() -> None:
    async with chat(max_answer_bytes=1000) as it:
        id_ = await it.begin()
        for _ in range(100):
            it.play.send([TextDelta("")])
        assert (await it.ended(id_)).state is State.FAILED
