"""Bytes that nobody vouches for: they end as an image or as ImageUnusable, in bounded memory, and the next ones are none the worse."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from services.image.errors import CodecsOverloaded, ImageUnusable
from services.image.model import Format, Size
from services.image.ports import Original
from services.image.providers.codecs import adapter
from services.image.providers.codecs.adapter import WorkerCodecs
from services.kernel.errors import Unavailable
from tests.fakes.foreign_images import NO_IMAGES, bombs, enormous, gif_of_many_frames, kinds, saved, scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_PIXELS = 1_000_000
MIB = 1024**2
KINDS = kinds()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codecs() -> AsyncIterator[WorkerCodecs]:
    made = WorkerCodecs(workers=1, max_pixels=MAX_PIXELS)
    yield made
    await made.aclose()


async def adopted(codecs: WorkerCodecs, data: bytes) -> Original | str:
    """The image, or why it is none."""
    try:
        return await codecs.adopt(data, {})
    except ImageUnusable as failure:
        return failure.metadata["detail"]


def worker() -> psutil.Process:
    """The process at work for these tests."""
    found = [p for p in psutil.Process().children() if any("codecs.worker" in word for word in p.cmdline())]
    return max(found, key=lambda process: process.create_time())


async def begun() -> None:
    """Let a worker at rest be given its job."""
    for _ in range(10):
        await asyncio.sleep(0)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize("what", NO_IMAGES)
async def test_what_is_no_image_is_refused(codecs: WorkerCodecs, what: str) -> None:
    expected = "truncated" if what == "a signature" else "format"
    assert await adopted(codecs, NO_IMAGES[what]) == expected


async def test_what_claims_to_be_enormous_is_refused_unread(codecs: WorkerCodecs) -> None:
    assert {kind: await adopted(codecs, data) for kind, data in enormous().items()} == dict.fromkeys(
        enormous(), "pixels"
    )


async def test_every_kind_that_ends_early_is_refused(codecs: WorkerCodecs) -> None:
    halves = {kind: data[: len(data) // 2] for kind, data in KINDS.items()}
    refused = {kind: await adopted(codecs, data) for kind, data in halves.items() if "animated" not in kind}
    assert refused == dict.fromkeys(refused, "truncated")


async def test_bombs_unfold_into_nothing(codecs: WorkerCodecs) -> None:
    await adopted(codecs, KINDS["png"])
    pid = worker().pid
    for data in bombs().values():
        assert isinstance(await adopted(codecs, data), Original | str)
    if sys.platform == "linux":
        assert worker().pid == pid
        assert peak_bytes(pid) < 200 * MIB


async def test_ten_thousand_frames_cost_what_one_does(codecs: WorkerCodecs) -> None:
    found = await asyncio.wait_for(adopted(codecs, gif_of_many_frames()), 5)
    assert isinstance(found, Original)
    assert (found.width, found.height) == (2, 2)


@settings(max_examples=60)
@given(st.sampled_from(sorted(KINDS)), st.data())
async def test_a_damaged_image_is_an_image_or_unusable(
    codecs: WorkerCodecs, kind: str, drawn: st.DataObject
) -> None:
    data = bytearray(KINDS[kind])
    for _ in range(drawn.draw(st.integers(1, 4))):
        data[drawn.draw(st.integers(0, len(data) - 1))] = drawn.draw(st.integers(0, 255))
    del data[drawn.draw(st.integers(len(data) // 4, len(data))) :]
    found = await adopted(codecs, bytes(data))
    assert found in ("format", "truncated", "pixels") or isinstance(found, Original)


async def test_a_decoder_that_dies_makes_its_image_unusable_and_no_other(codecs: WorkerCodecs) -> None:
    await adopted(codecs, KINDS["png"])
    victim = worker()
    victim.send_signal(signal.SIGSTOP)
    lost = asyncio.create_task(adopted(codecs, KINDS["png"]))
    next_one = asyncio.create_task(adopted(codecs, KINDS["jpeg"]))
    await begun()
    os.kill(victim.pid, signal.SIGKILL)
    assert await lost == "format"
    assert isinstance(await next_one, Original)


async def test_without_workers_nothing_is_drawn_or_converted() -> None:
    codecs = WorkerCodecs(workers=1, max_pixels=MAX_PIXELS)
    await codecs.aclose()
    for job in (
        codecs.draw("a cat", Size(9, 9), "", 1),
        codecs.convert(saved(scene(), "PNG"), Format.JPEG),
        codecs.adopt(KINDS["png"], {}),
    ):
        with pytest.raises(Unavailable) as told:
            await job
        assert told.value.reason == "UNAVAILABLE"


async def test_a_worker_that_can_not_start_is_no_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "_PROGRAM", "services.no_such_program")
    codecs = WorkerCodecs(workers=1, max_pixels=MAX_PIXELS)
    try:
        with pytest.raises(Unavailable) as told:
            await codecs.adopt(KINDS["png"], {})
    finally:
        await codecs.aclose()
    assert told.value.reason == "UNAVAILABLE"


async def test_a_server_that_stops_blames_no_image() -> None:
    codecs = WorkerCodecs(workers=1, max_pixels=MAX_PIXELS)
    await adopted(codecs, KINDS["png"])
    worker().send_signal(signal.SIGSTOP)
    lost = asyncio.create_task(codecs.adopt(KINDS["png"], {}))
    await begun()
    await codecs.aclose()
    with pytest.raises(Unavailable) as told:
        await lost
    assert told.value.reason == "UNAVAILABLE"


async def test_only_conversions_are_too_many_and_what_is_made_goes_before_them() -> None:
    codecs = WorkerCodecs(workers=1, max_pixels=MAX_PIXELS, queue=2)
    png, done = saved(scene(), "PNG"), []

    async def noted(name: str, job: Coroutine[Any, Any, object]) -> None:
        await job
        done.append(name)

    jobs = [
        *(noted(f"convert {number}", codecs.convert(png, Format.JPEG)) for number in range(4)),
        *(noted(f"draw {number}", codecs.draw("a cat", Size(9, 9), "", number)) for number in range(2)),
        noted("adopt", codecs.adopt(png, {})),
    ]
    outcomes = await asyncio.gather(*(asyncio.create_task(job) for job in jobs), return_exceptions=True)
    await codecs.aclose()
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [CodecsOverloaded]
    assert done == ["convert 0", "draw 0", "draw 1", "adopt", "convert 1", "convert 2"]
