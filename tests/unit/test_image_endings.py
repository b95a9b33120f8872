"""How generations end when callers leave, deadlines pass and stores are slow, in whatever moment: each once, in time, and on record."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.capabilities.generations.model import State
from services.capabilities.metering.model import Unit, UsageStatus
from services.capabilities.upstream.errors import (
    ProviderFailure,
    ProviderProtocol,
    ProviderRefused,
    ProviderUnavailable,
)
from services.image.model import Generation, ImageCall
from services.kernel.errors import Cancelled, DeadlineExceeded, InvalidArgument, ServiceError, Unavailable
from services.kernel.failures import Failure
from tests.fakes.image_memory import MemoryImageStore
from tests.fakes.image_stage import (
    ANONYMOUS,
    LARGE,
    ImageProcess,
    ImageStage,
    ScriptedProvider,
    call,
    model,
    person,
)
from tests.unit.test_image_generate import until


class SlowStore(MemoryImageStore):
    """A store whose `end` waits at `gate`; `ending` says how many wait."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.ending = 0

    async def end(
        self, generation_id: str, state: State, failure: Failure | None, event: Any, **more: Any
    ) -> bool:
        self.ending += 1
        await self.gate.wait()
        return await super().end(generation_id, state, failure, event, **more)


def states(stage: ImageStage) -> list[State]:
    return [kept.generation.state for kept in stage.store._kept.values()]


async def make(process: ImageProcess, asked: ImageCall, seconds: float | None = None) -> Any:
    return await process.generate(person(), asked, seconds)


async def left(task: asyncio.Task[Any]) -> None:
    """Its caller has gone away."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_caller_that_leaves_while_a_failure_is_recorded_changes_nothing() -> None:
    store = SlowStore()
    stage = ImageStage(store=store)
    store.gate.clear()
    stage.provider.failures = [ProviderRefused("no")]
    async with stage.process() as process:
        making = asyncio.create_task(make(process, call()))
        await until(lambda: store.ending, "that the end is being recorded")
        await left(making)
        store.gate.set()
        await until(lambda: store.events, "that it is")
    assert states(stage) == [State.FAILED]
    assert [event.error_reason for event in store.events] == ["PROVIDER_REFUSED"]


async def test_a_deadline_that_passes_while_the_database_is_slow_ends_it_nevertheless() -> None:
    store = SlowStore()
    stage = ImageStage(store=store)
    store.gate.clear()
    stage.provider.gate.clear()
    async with stage.process() as process:
        making = asyncio.create_task(make(process, call(), 0.05))
        await until(lambda: store.ending, "that the end is being recorded")
        # As gRPC does at the deadline itself.
        await left(making)
        store.gate.set()
        await until(lambda: store.events, "that it is")
    assert [event.error_reason for event in store.events] == ["DEADLINE_EXCEEDED"]


async def test_a_beginning_whose_answer_was_lost_is_ended_and_can_be_repeated() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    stage.store.fail_next("begin", lost=True)
    stage.store.fail_next("claimed")
    async with stage.process() as process:
        with pytest.raises(Unavailable):
            await make(process, asked)
        await until(lambda: states(stage) != [State.RUNNING], "that it is ended")
        assert len(await make(process, asked)) == 1


@pytest.mark.parametrize("lost", [False, True])
async def test_an_end_that_the_database_does_not_take_is_recorded_later(lost: bool) -> None:
    stage = ImageStage(lease=timedelta(seconds=0.03))
    stage.provider.failures = [ProviderRefused("no")]
    stage.store.fail_next("end", 2, lost=lost)
    async with stage.process() as process:
        with pytest.raises(ProviderRefused):
            await make(process, call())
        leases = asyncio.create_task(process.leases.run())
        await until(lambda: stage.store.calls["end"] >= 3, "that it is tried again")
        await left(leases)
    assert states(stage) == [State.FAILED]
    assert len(stage.store.events) == 1


async def test_what_a_process_does_not_know_any_more_is_taken_over() -> None:
    stage = ImageStage()
    async with stage.process() as process, stage.process() as other:
        order, _ = process.generate.order(person(), call())
        forgotten = Generation(
            str(uuid.uuid4()), (str(uuid.uuid4()),), "ana", "", "", order, State.RUNNING, stage.store.now
        )
        owner_id = process.owner_id
        await stage.store.begin(owner_id, stage.lease, forgotten, b"")
        stage.store.advance(stage.lease * 2)
        await stage.store.renew(owner_id, stage.lease, [])
        await other.leases.take_over()
    assert states(stage) == [State.INTERRUPTED]


async def test_images_that_are_being_decoded_are_kept_although_their_caller_left() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    stage.codecs.gate.clear()
    async with stage.process() as process:
        making = asyncio.create_task(make(process, asked, 0.2))
        await until(lambda: stage.codecs.waiting, "that the image is decoded")
        with pytest.raises(DeadlineExceeded):
            await making
        stage.codecs.gate.set()
        await until(lambda: stage.store.images, "that it is kept")
        assert len(await make(process, asked)) == 1
    assert len(stage.provider.calls) == 1


async def test_an_attempt_that_fails_half_way_is_repeated_for_what_is_missing() -> None:
    stage = ImageStage(retries=1)
    away = ProviderUnavailable("away")
    away.asked_pause = 0.0
    stage.provider.failures, stage.provider.late = [away], 2
    async with stage.process() as process:
        images = await make(process, call(count=4, seed=5))
    assert [image.seed for image in images] == [5, 6, 7, 8]
    assert [(one.count, one.seed) for one in stage.provider.calls] == [(4, 5), (2, 7)]
    assert stage.codecs.adopted == 4
    assert [event.usage.quantities for event in stage.store.events] == [{Unit.IMAGES: 4}]


async def test_a_slow_provider_keeps_nobody_from_another_one() -> None:
    stage = ImageStage(at_once=1)
    quick = ScriptedProvider()
    stage.catalog.models["quick"] = model(quick, name="quick", provider_name="another")
    stage.provider.gate.clear()
    async with stage.process() as process:
        slow = [asyncio.create_task(make(process, call(f"cat {i}"))) for i in range(3)]
        await until(lambda: stage.provider.waiting, "that the slow one is asked")
        assert len(await make(process, call(model="quick"))) == 1
        assert len(stage.provider.calls) == 1
        stage.provider.gate.set()
        await asyncio.gather(*slow)


async def test_a_repetition_that_comes_while_the_call_is_called_off_makes_them() -> None:
    store = SlowStore()
    stage = ImageStage(store=store)
    asked = call(request_id=str(uuid.uuid4()))
    stage.provider.gate.clear()
    store.gate.clear()
    async with stage.process() as process:
        first = asyncio.create_task(make(process, asked))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        await left(first)
        await until(lambda: store.ending, "that it is being ended")
        again = asyncio.create_task(make(process, asked))
        await until(lambda: store.calls["begin"] == 2, "that the second call has come")
        store.gate.set()
        stage.provider.gate.set()
        assert len(await again) == 1
    assert [event.status for event in store.events] == [UsageStatus.CANCELLED, UsageStatus.SUCCESS]


async def test_each_caller_waits_by_its_own_deadline() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    stage.provider.gate.clear()
    async with stage.process() as process:
        hasty = asyncio.create_task(make(process, asked, 0.1))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        patient = asyncio.create_task(make(process, asked, 30.0))
        await until(lambda: stage.store.calls["begin"] == 2, "that the second call has come")
        with pytest.raises(DeadlineExceeded):
            await hasty
        stage.provider.gate.set()
        assert len(await patient) == 1
    assert stage.provider.cancelled == 0


async def test_without_a_credential_the_default_is_a_model_with_a_size_for_that() -> None:
    stage = ImageStage()
    stage.catalog.models = {
        "large": model(stage.provider, name="large", sizes=(LARGE,), anonymous_sizes=()),
        **stage.catalog.models,
    }
    async with stage.process() as process:
        (image,) = await process.generate(ANONYMOUS, call(), None)
        assert image.model == "flux"
        (image,) = await process.generate(person(), call(), None)
        assert image.model == "large"
        with pytest.raises(InvalidArgument):
            await process.generate(ANONYMOUS, call(model="large"), None)


async def test_seeds_that_would_run_past_the_last_one_are_refused() -> None:
    stage = ImageStage()
    async with stage.process() as process:
        with pytest.raises(ServiceError, match="seed"):
            await make(process, call(seed=2**32 - 1, count=2))
        (image,) = await make(process, call(seed=2**32 - 1))
    assert image.seed == 2**32 - 1


async def test_whoever_is_back_in_time_is_not_taken_for_dead() -> None:
    store = SlowStore()
    stage = ImageStage(store=store)
    stage.provider.gate.clear()
    async with stage.process() as slow, stage.process() as other:
        making = asyncio.create_task(make(slow, call()))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        store.advance(stage.lease * 2)
        store.gate.clear()
        taking = asyncio.create_task(other.leases.take_over())
        await until(lambda: store.ending, "that it is about to be ended")
        await store.renew(slow.owner_id, stage.lease, slow.generations.known())
        store.gate.set()
        await taking
        stage.provider.gate.set()
        assert len(await making) == 1
    assert states(stage) == [State.COMPLETED]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_repetition_makes_what_another_callers_deadline_has_ended(elsewhere: bool) -> None:
    store = SlowStore()
    stage = ImageStage(store=store)
    asked = call(request_id=str(uuid.uuid4()))
    stage.provider.gate.clear()
    store.gate.clear()
    async with stage.process() as first, stage.process() as other:
        hasty = asyncio.create_task(make(first, asked, 0.05))
        await until(lambda: store.ending, "that its end is being recorded")
        patient = asyncio.create_task(make(other if elsewhere else first, asked, 30.0))
        await until(lambda: store.calls["begin"] == 2, "that the second call has come")
        store.gate.set()
        stage.provider.gate.set()
        assert len(await patient) == 1
        with pytest.raises(DeadlineExceeded):
            await hasty


async def test_what_is_called_off_before_its_first_step_has_an_end() -> None:
    stage = ImageStage()
    async with stage.process() as process:
        order, flux = process.generate.order(person(), call())
        made = Generation(
            str(uuid.uuid4()), (str(uuid.uuid4()),), "ana", "", "", order, State.RUNNING, stage.store.now
        )
        assert await process.generations.begin(made, b"") is None
        process.generations.start(made, partial(process.generate.make, made, flux))
        process.generations.cancel_soon(made.generation_id)
        with pytest.raises(Cancelled):
            await process.generations.outcome(made.generation_id)
        await until(lambda: stage.store.events, "that its end is recorded")
    assert states(stage) == [State.CANCELLED]


async def test_calls_of_an_outage_leave_nothing_to_be_done() -> None:
    stage = ImageStage(most=5)
    stage.store.away = True
    async with stage.process() as process:
        for _ in range(20):
            with pytest.raises(Unavailable):
                await make(process, call())
        assert not process.generations.known()


async def test_a_start_alone_ends_all_that_was_left() -> None:
    stage = ImageStage()
    async with stage.process() as process:
        order, _ = process.generate.order(person(), call())
        for _ in range(250):
            left_behind = Generation(
                str(uuid.uuid4()), (str(uuid.uuid4()),), "ana", "", "", order, State.RUNNING, stage.store.now
            )
            await stage.store.begin(str(uuid.uuid4()), stage.lease, left_behind, b"")
        await process.leases.start_alone()
    assert set(states(stage)) == {State.INTERRUPTED}


@pytest.mark.parametrize("failure", [ProviderRefused, ProviderProtocol])
async def test_no_log_has_the_prompt_that_a_provider_repeats(failure: type[ProviderFailure]) -> None:
    stage = ImageStage()
    repeating = failure("no")
    repeating.said = "the prompt 'a very private cat' is not allowed"
    stage.provider.failures = [repeating]
    with capture_logs() as logs:
        async with stage.process() as process:
            with pytest.raises(failure):
                await make(process, call("a very private cat"))
    assert [line["reason"] for line in logs if line["event"] == "a provider made no image"] == [
        failure.reason
    ]
    assert "private" not in str(logs)
