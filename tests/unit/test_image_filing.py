"""What is filed behind the index: records, the history of a day, and the end of what is gone."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.image.generation import filing, history
from services.image.generation.history import Edited, edited
from services.image.generation.objects import history_line, image_of_record, keys_of, record_json
from services.image.model import Change, Image
from services.image.usecases.reindex import Reindex
from services.kernel.ids import new_id
from tests.fakes.blobs_memory import MemoryBlobs
from tests.fakes.image_stage import ANONYMOUS, ImageProcess, ImageStage, call, person
from tests.fakes.image_stores import images_of, new_generation

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
    new = edited(old, [image(one) for one in add], remove).text
    lines = new.splitlines()
    ids = [json.loads(line)["id"] for line in lines if line.startswith(b'{"id"')]
    wanted = [one for one in dict.fromkeys([*there, *add]) if one not in remove]
    assert ids == wanted
    assert [line for line in lines if not line.startswith(b'{"id"')] == theirs.splitlines()
    assert new.endswith(b"\n")
    assert edited(new, [image(one) for one in add], remove) == Edited(new)


def test_a_history_does_not_grow_beyond_its_largest_size_and_still_shrinks() -> None:
    lines = [history_line(image(one)) for one in IDS]
    length = len(lines[0])
    old = b"".join(lines[:3])
    full = edited(old, [image(one) for one in IDS[2:]], set(), largest=4 * length)
    assert full == Edited(b"".join(lines[:4]), left_out=2)
    assert edited(full.text, [image(IDS[4])], {IDS[0]}, largest=4 * length) == Edited(b"".join(lines[1:5]))
    assert edited(old, [], {IDS[1]}, largest=length) == Edited(lines[0] + lines[2])


def test_many_removals_of_a_long_day_take_as_long_as_one() -> None:
    all_ids = [new_id() for _ in range(10_000)]
    old = b"".join(history_line(image(one)) for one in all_ids)
    took = []
    for count in (1, 5_000):
        began = time.process_time()
        assert len(edited(old, [], set(all_ids[-count:])).text.splitlines()) == 10_000 - count
        took.append(time.process_time() - began)
    assert took[1] < 30 * took[0]


async def test_the_loop_has_its_turns_while_a_history_is_edited(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = threading.Event()

    def waits_for_a_turn(old: bytes, *_: object) -> Edited:
        assert turn.wait(5)
        return Edited(old)

    monkeypatch.setattr(history, "edited", waits_for_a_turn)
    editing = asyncio.create_task(history.edit(MemoryBlobs(), "history.jsonl", [IMAGE], set(), 1000))
    await eventually(lambda: not editing.done(), "it was begun")
    asyncio.get_running_loop().call_later(0.001, turn.set)
    assert await editing == 0


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


async def test_a_full_history_keeps_no_image_from_being_filed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LARGEST_BYTES", 600)
    stage = ImageStage()
    ana = person()
    async with stage.process() as process:
        with capture_logs() as logs:
            made = [(await process.generate(ana, call(), None))[0] for _ in range(4)]
        assert not stage.store.filings
        (line,) = stage.lines(ana.user_id)
        assert line["id"] == made[0].image_id
        assert all(len(stage.keys_of(one)) == 4 for one in made)
        assert [entry["log_level"] for entry in logs if "is full" in entry["event"]] == ["warning"]


async def test_an_image_that_the_restored_index_does_not_know_is_left_until_it_is_told_again() -> None:
    before, after = ImageStage(), ImageStage()
    after.blobs = before.blobs
    before.provider.gate.clear()
    async with before.process() as process:
        making = asyncio.create_task(process.generate(person(), call(), None))
        await eventually(lambda: before.provider.waiting, "the provider was asked")
        after.store = copy.deepcopy(before.store)
        before.provider.gate.set()
        (made,) = await making
    objects = dict(before.blobs.objects)
    after.store.advance(timedelta(minutes=1))
    async with after.process() as process:
        await process.leases.take_over()
        assert {filing.change for filing in after.store.filings.values()} == {Change.DISCARD}
        with capture_logs() as logs:
            await discarded(after, process)
        assert after.blobs.objects == objects
        (told,) = [entry["event"] for entry in logs if entry["log_level"] == "error"]
        assert "antiphon image reindex" in told
        await Reindex(after.store, after.blobs)(prune=False, on_progress=lambda _: None)
        await discarded(after, process)
    assert await after.store.image(made.image_id) == made
    assert after.blobs.objects == objects


async def test_what_a_call_that_made_no_image_has_left_goes() -> None:
    stage = ImageStage()
    made = new_generation()
    assert await stage.store.begin(new_id(), timedelta(), made, bytes(32)) is None
    keys = keys_of(images_of(made)[0])
    for key in (keys.input, keys.original, keys.thumbnail):
        await stage.blobs.put(key, b"{}", "image/png")
    async with stage.process() as process:
        await process.leases.take_over()
        await discarded(stage, process)
        assert stage.blobs.objects == {}
        await stage.blobs.put(keys.original, b"late", "image/png")
        await discarded(stage, process)
    assert stage.blobs.objects == {}


async def test_a_group_whose_turn_comes_late_is_left_to_who_takes_it_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = ImageStage()
    now = 0.0
    monkeypatch.setattr(filing, "monotonic", lambda: now)
    for _ in range(20):
        made = new_generation("")
        await stage.store.begin(new_id(), timedelta(), made, bytes(32))
        await stage.store.complete(made.generation_id, images_of(made), None)
    stage.blobs.gate.clear()
    async with stage.process() as process:
        sweeping = asyncio.create_task(process.filer._swept())
        await eventually(lambda: stage.blobs.waiting == filing._GROUPS_AT_ONCE, "all turns are taken")
        now += filing._LEASE.total_seconds() - filing._ROUND_SECONDS
        stage.blobs.gate.set()
        assert await sweeping == 0.0, "the rest is due"
        assert await stage.store.unfiled() == 20 - filing._GROUPS_AT_ONCE
        assert len(await stage.store.take(new_id(), timedelta(1))) == 20 - filing._GROUPS_AT_ONCE


async def test_a_round_that_ends_late_leaves_the_next_one_its_lease() -> None:
    stage = ImageStage()
    made = new_generation()
    await stage.store.begin(new_id(), timedelta(), made, bytes(32))
    await stage.store.complete(made.generation_id, images_of(made), None)
    (added,) = stage.store.filings.values()
    stage.blobs.gate.clear()
    async with stage.process() as process:
        late = asyncio.create_task(process.filer._swept())
        await eventually(lambda: stage.blobs.waiting == 1, "the sweeper is at it")
        stage.store.advance(filing._LEASE)
        asking = asyncio.create_task(process.filer.file(added.group, 5))
        await eventually(lambda: stage.blobs.waiting == 2, "so is the next round")
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        assert await stage.store.take(new_id(), timedelta(1), added.group) == []
        stage.blobs.gate.set()
        await asking
    assert not stage.store.filings


async def test_what_another_process_holds_is_asked_for_seldom_and_no_longer_than_its_caller_waits() -> None:
    stage = ImageStage()
    made = new_generation()
    await stage.store.begin(new_id(), timedelta(), made, bytes(32))
    await stage.store.complete(made.generation_id, images_of(made), None)
    (held,) = await stage.store.take(new_id(), timedelta(hours=1))
    async with stage.process() as process:
        with capture_logs() as logs:
            await process.filer.file(held.group, 0.25)
            await eventually(lambda: not process.filer._groups, "its round has ended")
        assert 2 <= stage.store.calls["take"] - 1 <= 5
    assert logs == []


async def discarded(stage: ImageStage, process: ImageProcess) -> None:
    """The sweeper has been through once, whenever it was due."""
    stage.store.advance(timedelta(hours=1))
    assert await process.filer._swept() == 0.0


async def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait until it is so."""
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.001)
    pytest.fail(f"it never happened: {what}")


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
