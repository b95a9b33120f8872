"""Generations whatever they make: one work for all callers of a request_id, and an end on record that says what was used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.capabilities.generations.calling import check_request_id
from services.capabilities.generations.errors import (
    GenerationInterrupted,
    IndexLost,
    Superseded,
    TooManyGenerations,
)
from services.capabilities.generations.leases import Leases
from services.capabilities.generations.model import State
from services.capabilities.generations.running import Progress
from services.kernel.errors import (
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ServiceError,
    Unavailable,
)
from services.kernel.request import Request, enter
from tests.fakes.generations_memory import LEASE, Wording, WordProcess, WordStore, word_process
from tests.unit.test_image_generate import until

BODY = b"body"


async def make(
    process: WordProcess, request_id: str = "", work: Any = None, seconds: float | None = None
) -> str:
    return await process.call("ana", request_id, BODY, process.prepare(request_id, work), seconds)


async def left(task: asyncio.Task[Any]) -> None:
    """Its caller has gone away."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_all_callers_of_a_request_id_get_the_one_result() -> None:
    async with word_process() as process:
        calls = [asyncio.create_task(make(process, "r")) for _ in range(5)]
        await until(lambda: process.made, "that it is made")
        process.gate.set()
        assert await asyncio.gather(*calls) == ["word"] * 5
        assert await make(process, "r") == "word"
    assert process.made == 1
    assert not process.store.ends


async def test_it_is_called_off_when_the_last_caller_has_left_and_says_what_it_used() -> None:
    async with word_process() as process:
        first = asyncio.create_task(make(process, "r"))
        await until(lambda: process.made, "that it is made")
        generation_id = await process.call.begun("ana", "r", BODY, process.prepare("r"))
        second = asyncio.create_task(process.call.result(generation_id, "r", None))
        # One step, and it waits.
        await asyncio.sleep(0)
        await left(first)
        assert len(process.generations) == 1
        await left(second)
        await until(lambda: process.store.ends, "that its end is recorded")
        # The id is free again.
        process.gate.set()
        assert await make(process, "r") == "word"
    (end,) = process.store.ends
    assert (end.state, end.used, end.remove, end.again) == (State.CANCELLED, 1, False, 0)


async def test_nobody_joins_what_is_ending_without_a_result_or_is_over() -> None:
    async with word_process() as process:
        caller = asyncio.create_task(make(process, "r"))
        await until(lambda: process.made, "that it is made")
        (generation_id,) = process.generations.known()
        joined = process.generations.join(generation_id)
        assert joined is not None
        await left(caller)
        # Whoever has joined keeps it going, from that moment on, and leaves once.
        assert process.generations.is_here(generation_id)
        joined.leave()
        joined.leave()
        assert process.generations.join(generation_id) is None
        await until(lambda: process.store.ends, "that its end is recorded")
        assert process.generations.join(generation_id) is None


async def test_who_joins_gets_the_result() -> None:
    async with word_process() as process:
        caller = asyncio.create_task(make(process, "r"))
        await until(lambda: process.made, "that it is made")
        (generation_id,) = process.generations.known()
        joined = process.generations.join(generation_id)
        assert joined is not None
        process.gate.set()
        assert await joined.outcome() == await caller == "word"
        joined.leave()


@pytest.mark.parametrize(
    ("raised", "told", "state"),
    [
        (NotFound("no such voice"), NotFound, State.FAILED),
        (IndexLost("away"), IndexLost, State.INTERRUPTED),
        (ZeroDivisionError(), ZeroDivisionError, State.FAILED),
    ],
)
async def test_what_a_failure_may_have_written_is_discarded_twice(
    raised: Exception, told: type[Exception], state: State
) -> None:
    async def failing(progress: Progress) -> str:
        progress.touched()
        progress.used = "three words"
        raise raised

    async with word_process() as process:
        with pytest.raises(told):
            await make(process, work=failing)
    (end,) = process.store.ends
    assert (end.state, end.used, end.remove, end.again) == (state, "three words", True, 1)


async def test_what_was_taken_from_this_process_is_discarded_and_not_ended_again() -> None:
    async def superseded(progress: Progress) -> str:
        raise Superseded

    async with word_process() as process:
        with pytest.raises(GenerationInterrupted):
            await make(process, work=superseded)
    assert not process.store.ends
    assert process.store.discards == list(process.store.kept)


async def test_what_has_arrived_is_kept_although_nobody_waits() -> None:
    there, kept = asyncio.Event(), asyncio.Event()

    async with word_process() as process:
        generation = Wording("r")

        async def arrived(progress: Progress) -> str:
            progress.arrived()
            there.set()
            await kept.wait()
            await process.store.complete(generation.generation_id, "kept")
            return "kept"

        caller = asyncio.create_task(process.call("ana", "r", BODY, lambda: (generation, arrived), None))
        await until(there.is_set, "that it has arrived")
        await left(caller)
        process.generations.cancel_soon(generation.generation_id)
        kept.set()
        assert await make(process, "r") == "kept"
    assert not process.store.ends


async def test_what_would_refuse_a_new_call_keeps_nobody_from_an_earlier_result() -> None:
    def refused() -> Any:
        raise NotFound("the model is gone")

    async with word_process() as process:
        process.gate.set()
        await make(process, "r")
        assert await process.call("ana", "r", BODY, refused, None) == "word"
        for caller, request_id in (("ana", "s"), ("bob", "r"), ("ana", "")):
            with pytest.raises(NotFound, match="the model is gone"):
                await process.call(caller, request_id, BODY, refused, None)
        with pytest.raises(AlreadyExists):
            await process.call("ana", "r", b"another", refused, None)


async def test_a_result_that_is_gone_is_said_to_be() -> None:
    async with word_process() as process:
        process.gate.set()
        await make(process, "r")
        process.store.words.clear()
        with pytest.raises(NotFound, match="word r was not found"):
            await make(process, "r")


async def test_begun_and_its_result_are_told_apart_and_another_process_finds_both() -> None:
    store = WordStore()
    async with word_process(store) as here, word_process(store) as there:
        generation_id = await here.call.begun("ana", "r", BODY, here.prepare("r"))
        waiting = asyncio.create_task(here.call.result(generation_id, "r", None))
        assert await there.call.begun("ana", "r", BODY, there.prepare("r")) == generation_id
        with pytest.raises(DeadlineExceeded):
            await there.call.result(generation_id, "r", asyncio.get_running_loop().time())
        here.gate.set()
        assert await waiting == "word"
        assert await there.call.result(generation_id, "r", None) == "word"
    assert (here.made, there.made) == (1, 0)


async def test_a_failure_is_told_alike_wherever_it_is_asked_for() -> None:
    store = WordStore()
    async with word_process(store) as here, word_process(store) as there:

        async def failing(progress: Progress) -> str:
            raise Unavailable("no voice today", reason="PROVIDER_UNAVAILABLE", retry_after=7.0)

        generation_id = await here.call.begun("ana", "r", BODY, here.prepare("r", failing))
        for process in (here, there):
            with pytest.raises(ServiceError, match="no voice today") as told:
                await process.call.result(generation_id, "r", None)
            assert (told.value.reason, told.value.retry_after) == ("PROVIDER_UNAVAILABLE", 7.0)


async def test_a_deadline_is_told_in_time_and_recorded() -> None:
    async with word_process() as process:
        with pytest.raises(DeadlineExceeded, match="your deadline is over"):
            await make(process, seconds=0.02)
    assert [end.failure.reason for end in process.store.ends] == ["DEADLINE_EXCEEDED"]


async def test_what_is_too_much_is_refused_and_not_metered_as_begun() -> None:
    request = Request("r", "Synthesize")
    enter(request)
    async with word_process(most=1) as process:
        first = asyncio.create_task(make(process))
        await until(lambda: process.made, "that it is made")
        with pytest.raises(TooManyGenerations):
            await make(process)
        assert request.begun is False
        await left(first)


async def test_a_server_that_stops_interrupts_what_it_is_at() -> None:
    async with word_process() as process:
        call = asyncio.create_task(make(process))
        await until(lambda: process.made, "that it is made")
        await process.generations.drain(0.0)
        with pytest.raises(Unavailable, match="about to stop"):
            await call
    assert [(end.state, end.used) for end in process.store.ends] == [(State.INTERRUPTED, 1)]


async def test_a_person_who_is_deleted_gets_nothing_more() -> None:
    async with word_process() as process:
        generation_id = await process.call.begun("ana", "", BODY, process.prepare())
        waiting = asyncio.create_task(process.generations.outcome(generation_id))
        await until(lambda: process.made, "that it is made")
        process.generations.cancel_soon(generation_id)
        with pytest.raises(Cancelled):
            await waiting


async def test_what_a_dead_process_left_is_ended_and_the_log_says_what_it_made() -> None:
    store = WordStore()
    await store.begin("dead", LEASE, Wording("r"), BODY)
    async with word_process(store) as process:
        leases = Leases(store, process.ends, process.generations.known, "alive", LEASE, "words")
        with capture_logs() as logs:
            assert await leases.take_over() == 1
        process.gate.set()
        assert await make(process, "r") == "word"
    (end,) = store.ends
    assert (end.state, end.remove, end.used) == (State.INTERRUPTED, True, None)
    assert [(line["what"], line["generation_id"]) for line in logs] == [
        ("words", end.generation.generation_id)
    ]


def test_whoever_has_no_name_of_its_own_chooses_an_id_that_nobody_guesses() -> None:
    for user_id, request_id in (("ana", "1"), ("", ""), ("", "0b9f0a4e-7d58-4bb5-9d0c-3a0d3b6e0f11")):
        check_request_id(user_id, request_id)
    with pytest.raises(InvalidArgument):
        check_request_id("", "1")
