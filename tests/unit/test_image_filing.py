"""What is filed behind the index: records, the history of a day, and the end of what is gone."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.image.generation.history import edited
from services.image.generation.objects import history_line, image_of_record, record_json
from services.image.model import Image
from services.kernel.ids import new_id
from tests.fakes.image_stage import ANONYMOUS, ImageProcess, ImageStage, call, person

IMAGE = Image(
    image_id="01940000-0000-7000-8000-000000000000",
    generation_id="01940000-0000-7000-8000-000000000001",
    user_id="0b1c2d3e-0000-4000-8000-000000000000",
    api_key_id="",
    request_id="",
    prompt='a cat\n{"id":"x"} \u2028 🐈',
    negative_prompt="",
    size="512x512",
    style="",
    model="flux",
    provider="studio",
    seed=None,
    index=0,
    width=512,
    height=512,
    sha256="ab" * 32,
    size_bytes=10,
    revised_prompt="",
    processing_time_ms=5,
    create_time=datetime(2026, 2, 3, 4, 5, 6, 789, UTC),
)
IDS = [new_id() for _ in range(6)]


def image(image_id: str) -> Image:
    return dataclasses.replace(IMAGE, image_id=image_id)


def test_a_record_tells_all_that_the_index_knows() -> None:
    assert image_of_record(record_json(IMAGE)) == IMAGE


@pytest.mark.parametrize(
    "damaged", [b"", b"{}", b"[]", b"\xff", b'{"metadata": 1}', record_json(IMAGE)[:-20]]
)
def test_what_is_no_record_is_told_so(damaged: bytes) -> None:
    with pytest.raises(ValueError):
        image_of_record(damaged)


@given(
    st.lists(st.sampled_from(IDS), unique=True),
    st.lists(st.sampled_from(IDS)),
    st.sets(st.sampled_from(IDS)),
    st.booleans(),
)
def test_a_history_has_a_line_for_each_image_and_what_others_wrote(
    there: list[str], add: list[str], remove: set[str], whole: bool
) -> None:
    theirs = b'{"note":"of somebody else"}\nno json'
    old = b"".join(history_line(image(one)) for one in there) + theirs + (b"\n" if whole else b"")
    new = edited(old, [image(one) for one in add], remove)
    lines = new.splitlines()
    ids = [json.loads(line)["id"] for line in lines if line.startswith(b'{"id"')]
    wanted = [one for one in dict.fromkeys([*there, *add]) if one not in remove]
    assert ids == wanted
    assert [line for line in lines if not line.startswith(b'{"id"')] == theirs.splitlines()
    assert new.endswith(b"\n")
    assert edited(new, [image(one) for one in add], remove) == new


async def test_two_processes_that_make_images_of_one_person_lose_and_double_no_line() -> None:
    stage = ImageStage(at_once=20)
    ana = person()
    async with stage.process() as one, stage.process() as other:
        made = await asyncio.gather(
            *(process.generate(ana, call(f"cat {i}"), None) for i in range(20) for process in (one, other))
        )
    ids = [line["id"] for line in stage.lines(ana.user_id)]
    assert sorted(ids) == sorted(image.image_id for images in made for image in images)
    assert not stage.store.filings


async def test_a_history_that_can_not_be_written_now_is_written_by_the_sweeper() -> None:
    stage = ImageStage()
    ana = person()
    stage.blobs.fail_next(1, "create")
    async with stage.process() as process, stage.process() as other:
        (image,) = await process.generate(ana, call(), None)
        assert stage.lines(ana.user_id) == []
        stage.store.advance(timedelta(seconds=2))
        await swept(stage, other)
    assert [line["id"] for line in stage.lines(ana.user_id)] == [image.image_id]


async def test_a_deleted_image_takes_its_objects_and_its_line_along() -> None:
    stage = ImageStage()
    ana = person()
    async with stage.process() as process:
        (first,) = await process.generate(ana, call(), None)
        (second,) = await process.generate(ana, call("a dog"), None)
        assert await stage.store.delete(first.image_id, ana.user_id)
        await swept(stage, process)
    assert stage.keys_of(first) == []
    assert [line["id"] for line in stage.lines(ana.user_id)] == [second.image_id]
    assert len(stage.keys_of(second)) == 4


async def test_an_image_deleted_while_it_is_filed_leaves_nothing() -> None:
    stage = ImageStage()
    ana = person()
    async with stage.process() as process, stage.process() as other:
        stage.blobs.fail_next(1, "create")
        (image,) = await process.generate(ana, call(), None)
        stage.store.advance(timedelta(seconds=2))
        stage.blobs.gate.clear()
        sweeping = asyncio.create_task(swept(stage, process))
        for _ in range(1000):
            if stage.blobs.waiting:
                break
            await asyncio.sleep(0)
        assert await stage.store.delete(image.image_id, ana.user_id)
        stage.blobs.gate.set()
        await sweeping
        await swept(stage, other)
    assert stage.keys_of(image) == []
    assert stage.lines(ana.user_id) == []


async def test_old_images_of_anonymous_callers_go() -> None:
    stage = ImageStage()
    async with stage.process() as process:
        (nobodys,) = await process.generate(ANONYMOUS, call(), None)
        (anas,) = await process.generate(person(), call(), None)
        soon = datetime.now(UTC) + timedelta(minutes=1)
        assert await stage.store.expire(soon, 10) == 1
        assert await stage.store.expire(soon, 10) == 0
        await swept(stage, process)
    assert stage.keys_of(nobodys) == []
    assert list(stage.store.images) == [anas.image_id]


async def swept(stage: ImageStage, process: ImageProcess) -> None:
    """The sweeper has done all that is due."""
    sweeper = asyncio.create_task(process.filer.run())
    process.filer.soon()
    for _ in range(2000):
        if not stage.store.filings and not stage.blobs.waiting:
            break
        await asyncio.sleep(0.001)
    sweeper.cancel()
    await asyncio.gather(sweeper, return_exceptions=True)
    assert not stage.store.filings
