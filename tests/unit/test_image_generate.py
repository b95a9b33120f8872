"""GenerateImage over fakes: what is stored when, what a failure leaves, and what a repetition finds."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from services.capabilities.generations.errors import TooManyGenerations
from services.capabilities.generations.model import State
from services.capabilities.metering.model import Unit, UsageStatus
from services.capabilities.upstream.errors import (
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
    UnsupportedInput,
)
from services.image.errors import ImagesDeleted, ImageUnusable, ModelNotFound
from services.image.model import Change, ImageCall
from services.kernel.errors import (
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    ServiceError,
    Unavailable,
)
from services.kernel.principal import ANONYMOUS
from tests.fakes.image_codecs import facts_of
from tests.fakes.image_stage import LARGE, ImageProcess, ImageStage, call, model, person


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until it is so."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail(f"it never happened: {what}")


async def test_an_image_is_a_tree_of_objects_a_row_a_line_and_an_event() -> None:
    stage = ImageStage()
    ana = person()
    async with stage.process() as process:
        (image,) = await process.generate(ana, call(size="256x256", style="anime", seed=7), None)
    day = image.create_time.strftime("%Y/%m/%d")
    folder = f"requests/{day}/{image.image_id}"
    assert list(stage.blobs.objects) == [
        f"derived/{image.image_id}/thumbnail.png",
        f"{folder}/image/original.png",
        f"{folder}/input.json",
        f"{folder}/record.json",
        f"users/{ana.user_id}/image/history/{day}.jsonl",
    ]
    assert (stage.provider.calls[0].prompt, stage.provider.calls[0].seed) == ("a cat, anime style", 7)
    record = json.loads(stage.blobs.objects[f"{folder}/record.json"])
    assert (record["status"], record["sha256"], record["metadata"]["seed"]) == ("completed", image.sha256, 7)
    assert json.loads(stage.blobs.objects[f"{folder}/input.json"])["prompt"] == "a cat"
    (line,) = stage.lines(ana.user_id)
    assert (line["id"], line["s3_key"]) == (image.image_id, f"{folder}/image/original.png")
    assert stage.store.images == {image.image_id: image}
    (event,) = stage.store.events
    assert (event.status, event.variant, event.user_id) == (UsageStatus.SUCCESS, "256x256", ana.user_id)
    assert event.usage.quantities == {Unit.IMAGES: 1}
    assert not stage.store.filings


async def test_prompt_model_and_seed_stand_in_the_file_unless_that_is_switched_off() -> None:
    stage = ImageStage()
    async with stage.process() as process:
        (image,) = await process.generate(person(), call(seed=7), None)
    facts = facts_of(stage.blobs.objects[stage.keys_of(image)[1]])
    assert (facts["Description"], facts["Model"], facts["Seed"]) == ("a cat", "flux", "7")
    async with stage.process(embed_metadata=False) as process:
        (image,) = await process.generate(person(), call(), None)
    assert facts_of(stage.blobs.objects[stage.keys_of(image)[1]]) == {}


async def test_images_of_anonymous_callers_have_no_history() -> None:
    stage = ImageStage()
    async with stage.process() as process:
        await process.generate(ANONYMOUS, call(), None)
    assert not [key for key in stage.blobs.objects if key.startswith("users/")]
    assert not stage.store.filings


async def test_several_images_of_a_call_have_the_seeds_that_follow() -> None:
    stage = ImageStage()
    ana = person()
    async with stage.process() as process:
        images = await process.generate(ana, call(count=3, seed=5), None)
    assert [(image.index, image.seed) for image in images] == [(0, 5), (1, 6), (2, 7)]
    assert [line["id"] for line in stage.lines(ana.user_id)] == [image.image_id for image in images]
    assert [event.usage.quantities for event in stage.store.events] == [{Unit.IMAGES: 3}]


@pytest.mark.parametrize(
    ("changed", "failure", "field"),
    [
        ({"model": "gone"}, ModelNotFound, ""),
        ({"size": "300x300"}, UnsupportedInput, "size"),
        ({"style": "cubist"}, UnsupportedInput, "style"),
        ({"count": 5}, UnsupportedInput, "count"),
        ({"prompt": "  "}, InvalidArgument, "prompt"),
    ],
)
async def test_what_the_model_does_not_have_is_refused_by_its_field(
    changed: dict[str, Any], failure: type[ServiceError], field: str
) -> None:
    stage = ImageStage()
    async with stage.process() as process:
        with pytest.raises(failure) as told:
            await process.generate(person(), call(**changed), None)
    assert [one.field for one in told.value.violations] == ([field] if field else [])
    assert not stage.provider.calls
    assert not stage.store.events


async def test_what_a_model_would_not_heed_is_refused() -> None:
    stage = ImageStage()
    stage.catalog.models["flux"] = model(stage.provider, takes_seed=False, takes_negative_prompt=False)
    async with stage.process() as process:
        for asked in (call(seed=1), call(negative_prompt="dogs")):
            with pytest.raises(UnsupportedInput):
                await process.generate(person(), asked, None)


async def test_without_a_credential_there_are_two_sizes() -> None:
    stage = ImageStage()
    async with stage.process() as process:
        with pytest.raises(InvalidArgument, match="512x512 and 256x256; log in for 1024x1024"):
            await process.generate(ANONYMOUS, call(size=str(LARGE)), None)
        (image,) = await process.generate(ANONYMOUS, call(), None)
    assert image.size == "512x512"


async def test_a_busy_provider_is_asked_again_and_one_that_refuses_is_not() -> None:
    stage = ImageStage(retries=2)
    busy = ProviderRateLimited("busy")
    busy.asked_pause = 0.0
    stage.provider.failures = [busy, busy]
    async with stage.process() as process:
        await process.generate(person(), call(), None)
        assert len(stage.provider.calls) == 3
        stage.provider.failures = [ProviderRefused("no")]
        with pytest.raises(ProviderRefused) as told:
            await process.generate(person(), call(), None)
    assert len(stage.provider.calls) == 4
    assert (told.value.metadata["model"], told.value.metadata["provider"]) == ("flux", "studio")
    assert stage.store.events[-1].error_reason == "PROVIDER_REFUSED"
    assert not stage.store.events[-1].usage.quantities


async def test_a_provider_that_asks_for_a_long_pause_is_left_alone() -> None:
    stage = ImageStage(retries=2)
    away = ProviderUnavailable("loading")
    away.asked_pause = 100.0
    stage.provider.failures = [away]
    async with stage.process() as process:
        with pytest.raises(ProviderUnavailable):
            await process.generate(person(), call(), None)
    assert len(stage.provider.calls) == 1


async def test_bytes_that_are_no_image_leave_nothing_behind() -> None:
    stage = ImageStage()
    stage.provider.data = b"<html>"
    async with stage.process() as process:
        with pytest.raises(ImageUnusable) as told:
            await process.generate(person(), call(request_id=str(uuid.uuid4())), None)
    assert told.value.metadata == {"model": "flux", "provider": "studio", "detail": "format"}
    assert not stage.blobs.objects
    assert not stage.store.images


async def test_a_failure_frees_the_request_id() -> None:
    stage = ImageStage()
    stage.provider.failures = [ProviderRefused("no")]
    asked = call(request_id=str(uuid.uuid4()))
    async with stage.process() as process:
        with pytest.raises(ProviderRefused):
            await process.generate(person(), asked, None)
        assert len(await process.generate(person(), asked, None)) == 1


async def test_a_repetition_finds_the_images_and_makes_none() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    async with stage.process() as first, stage.process() as second:
        made = await first.generate(person(), asked, None)
        assert await first.generate(person(), asked, None) == made
        assert await second.generate(person(), asked, None) == made
        with pytest.raises(AlreadyExists):
            await second.generate(person(), call("a dog", asked.request_id), None)
    assert len(stage.provider.calls) == len(stage.store.events) == 1


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_repetition_waits_for_a_call_that_is_under_way(elsewhere: bool) -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    stage.provider.gate.clear()
    async with stage.process() as first, stage.process() as other:
        one = asyncio.create_task(_make(first, asked))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        two = asyncio.create_task(_make(other if elsewhere else first, asked))
        await until(lambda: stage.store.calls["begin"] == 2, "that the second call has come")
        stage.provider.gate.set()
        assert await one == await two
    assert len(stage.provider.calls) == 1


async def test_a_repetition_of_a_call_that_was_called_off_elsewhere_makes_them_itself() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    stage.provider.gate.clear()
    async with stage.process() as first, stage.process() as other:
        one = asyncio.create_task(_make(first, asked))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        two = asyncio.create_task(_make(other, asked))
        await until(lambda: stage.store.calls["begin"] == 2, "that the second call has come")
        one.cancel()
        stage.provider.gate.set()
        assert len(await two) == 1
    assert [event.status for event in stage.store.events] == [UsageStatus.CANCELLED, UsageStatus.SUCCESS]


async def test_images_that_were_deleted_are_not_made_again_under_the_same_id() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    async with stage.process() as process:
        (image,) = await process.generate(person(), asked, None)
        assert await stage.store.delete(image.image_id, person().user_id)
        with pytest.raises(ImagesDeleted):
            await process.generate(person(), asked, None)


async def test_ids_of_anonymous_callers_have_to_be_random() -> None:
    stage = ImageStage()
    async with stage.process() as process:
        with pytest.raises(InvalidArgument, match="request_id"):
            await process.generate(ANONYMOUS, call(request_id=str(uuid.uuid1())), None)


async def test_a_caller_that_goes_away_has_the_provider_called_off() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    stage.provider.gate.clear()
    async with stage.process() as process:
        making = asyncio.create_task(_make(process, asked))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        making.cancel()
        await until(lambda: stage.store.events, "that the end is recorded")
        assert stage.provider.cancelled == 1
        assert stage.store.events[0].status is UsageStatus.CANCELLED
        assert not stage.blobs.objects
        stage.provider.gate.set()
        assert len(await _make(process, asked)) == 1


async def test_it_goes_on_while_another_call_waits_for_the_same_images() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    stage.provider.gate.clear()
    async with stage.process() as process:
        one = asyncio.create_task(_make(process, asked))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        two = asyncio.create_task(_make(process, asked))
        await until(lambda: stage.store.calls["begin"] == 2, "that the second call has come")
        one.cancel()
        await asyncio.sleep(0)
        stage.provider.gate.set()
        assert len(await two) == 1
    assert stage.provider.cancelled == 0


async def test_what_has_come_back_is_kept_although_the_caller_is_gone() -> None:
    stage = ImageStage()
    asked = call(request_id=str(uuid.uuid4()))
    stage.blobs.gate.clear()
    async with stage.process() as process:
        making = asyncio.create_task(_make(process, asked))
        await until(lambda: stage.blobs.waiting, "that objects are written")
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        stage.blobs.gate.set()
        await until(lambda: stage.store.images, "that the images are in the index")
        assert len(await _make(process, asked)) == 1
    assert [event.status for event in stage.store.events] == [UsageStatus.SUCCESS]
    assert len(stage.provider.calls) == 1


async def test_a_deadline_is_told_before_it_is_over() -> None:
    stage = ImageStage()
    stage.provider.gate.clear()
    async with stage.process() as process:
        with pytest.raises(DeadlineExceeded) as told:
            await process.generate(person(), call(), 0.05)
    assert told.value.metadata == {"stage": "generation"}
    assert stage.store.events[0].error_reason == "DEADLINE_EXCEEDED"


async def test_past_the_bound_calls_are_refused_and_earlier_images_found() -> None:
    stage = ImageStage(most=1)
    asked = call(request_id=str(uuid.uuid4()))
    async with stage.process() as process:
        made = await _make(process, asked)
        stage.provider.gate.clear()
        busy = asyncio.create_task(_make(process, call("a dog")))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        with pytest.raises(TooManyGenerations):
            await _make(process, call("a bird"))
        assert await _make(process, asked) == made
        stage.provider.gate.set()
        await busy


async def test_an_object_store_that_is_away_for_a_moment_costs_nothing() -> None:
    stage = ImageStage()
    stage.blobs.fail_next(1, "put")
    async with stage.process() as process:
        assert len(await _make(process, call())) == 1


async def test_an_object_store_that_stays_away_leaves_nothing_visible() -> None:
    stage = ImageStage()
    stage.blobs.fail_next(100, "put")
    async with stage.process() as process:
        with pytest.raises(Unavailable):
            await _make(process, call())
    assert not stage.store.images
    assert stage.store.events[0].error_reason == "IMAGES_NOT_STORED"
    assert len(stage.store.filings) == 1


@pytest.mark.parametrize("lost", [False, True])
async def test_a_database_that_does_not_answer_at_the_end_has_it_once(lost: bool) -> None:
    stage = ImageStage()
    stage.store.fail_next("complete", 1, lost=lost)
    async with stage.process() as process:
        assert len(await _make(process, call())) == 1
    assert len(stage.store.images) == len(stage.store.events) == 1


async def test_whoever_was_taken_for_dead_makes_nothing_visible() -> None:
    stage = ImageStage()
    stage.provider.gate.clear()
    async with stage.process() as slow, stage.process() as other:
        making = asyncio.create_task(_make(slow, call()))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        stage.store.advance(stage.lease * 2)
        await other.leases.take_over()
        stage.provider.gate.set()
        with pytest.raises(ServiceError) as told:
            await making
    assert told.value.reason == "GENERATION_INTERRUPTED"
    assert not stage.store.images
    assert {filing.change for filing in stage.store.filings.values()} == {Change.DISCARD}
    assert [event.error_reason for event in stage.store.events] == ["GENERATION_INTERRUPTED"]


async def test_a_stop_ends_what_takes_too_long_in_a_recorded_state() -> None:
    stage = ImageStage()
    stage.provider.gate.clear()
    async with stage.process() as process:
        making = asyncio.create_task(_make(process, call()))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        await process.generations.drain(0.01)
        with pytest.raises(Unavailable) as told:
            await making
    assert told.value.reason == "SHUTTING_DOWN"
    (kept,) = stage.store._kept.values()
    assert kept.generation.state is State.INTERRUPTED


async def test_somebody_whose_account_goes_has_their_images_called_off() -> None:
    stage = ImageStage()
    stage.provider.gate.clear()
    async with stage.process() as process:
        making = asyncio.create_task(_make(process, call()))
        await until(lambda: stage.provider.waiting, "that the provider is asked")
        (generation_id,) = stage.store._kept
        process.generations.cancel_soon(generation_id)
        with pytest.raises(Cancelled):
            await making


async def _make(process: ImageProcess, asked: ImageCall) -> Any:
    return await process.generate(person(), asked, None)
