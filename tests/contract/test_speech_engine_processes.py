"""The engine's processes: what becomes of callers and workers when one dies, leaves, or finds too many before it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
import pytest_asyncio

from services.kernel.errors import Unavailable
from services.speech.errors import EngineBusy, EngineStopped
from services.speech.model import Ending, Format
from services.speech.ports import Task
from services.speech.providers.espeak.adapter import EspeakSpeaker
from services.speech.text import script_of
from tests.fakes.speech_tasks import recorded, task_of, worker_pids
from tests.fakes.worker_pools import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOPPED_WITHIN = 0.2
"""Seconds, on a machine that does nothing else; a busy one gets more."""
BUSY = 5
SENTENCE = "This is one of a great many sentences that nobody will ever hear to the end. "


def endless() -> Task:
    """Minutes of work, and more than what counts as short."""
    return task_of(*[SENTENCE] * 1000, format_=Format.OGG_OPUS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def speaker() -> AsyncIterator[EspeakSpeaker]:
    made = EspeakSpeaker(workers=2)
    await made.warm_up()
    yield made
    await made.aclose()


async def test_a_killed_worker_costs_its_caller_one_call(speaker: EspeakSpeaker) -> None:
    async def killed() -> None:
        told = aiter(speaker.speak(endless()))
        await anext(told)
        for pid in worker_pids():
            os.kill(pid, signal.SIGKILL)
        async for _ in told:
            pass

    with pytest.raises(EngineStopped) as failure:
        await killed()
    assert failure.value.retry_after
    assert (await recorded(speaker.speak(task_of("Again.")))).ending


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_who_leaves_has_the_engine_stopped(speaker: EspeakSpeaker, how: str) -> None:
    begun = asyncio.Event()
    told = speaker.speak(endless())

    async def listening() -> None:
        async for _ in told:
            begun.set()

    if how == "cancelled":
        task = asyncio.create_task(listening())
        await begun.wait()
        speaking = worker_pids()
        task.cancel()
        await asyncio.wait([task])
    else:
        await anext(aiter(told))
        speaking = worker_pids()
        await told.aclose()  # type: ignore[attr-defined]
    left = time.monotonic()
    # The other worker, if there is one, lives on.
    await until(lambda: not speaking <= worker_pids(), STOPPED_WITHIN * BUSY)
    print(f"{how}: stopped within {1000 * (time.monotonic() - left):.1f} ms")
    assert (await recorded(speaker.speak(task_of("Next.")))).ending


async def test_short_texts_are_spoken_while_long_ones_are(speaker: EspeakSpeaker) -> None:
    long = [asyncio.create_task(recorded(speaker.speak(endless()))) for _ in range(3)]
    await asyncio.sleep(0)
    assert (await recorded(speaker.speak(task_of("Short.")))).ending
    assert not any(task.done() for task in long)
    for task in long:
        task.cancel()
    await asyncio.wait(long)


async def test_a_voice_that_is_not_there_is_never_another_one(speaker: EspeakSpeaker) -> None:
    with pytest.raises(EngineStopped):
        await recorded(speaker.speak(task_of("Hello.", voice="gmw/xx")))
    assert (await recorded(speaker.speak(task_of("Hello.")))).ending


@pytest.mark.long
async def test_a_book_is_spoken_from_its_first_sentence_on_and_without_a_click(
    speaker: EspeakSpeaker,
) -> None:
    script = script_of(SENTENCE * (100_000 // len(SENTENCE)), 500)
    alone = (await recorded(speaker.speak(task_of(SENTENCE)))).samples
    begun = time.monotonic()
    first, before, step, words, samples = 0.0, 0, 0, 0, 0
    async for told in speaker.speak(replace(task_of(), segments=script.segments)):
        first = first or time.monotonic() - begun
        if isinstance(told, Ending):
            assert samples == told.samples
            break
        sound = np.frombuffer(told.data[0 if samples else 44 :], "<i2").astype(np.int32)
        step = max(step, int(np.abs(np.diff(sound, prepend=before)).max()))
        before, words, samples = (
            int(sound[-1]),
            words + sum(len(word.text.split()) for word in told.words),
            samples + len(sound),
        )
    whole = time.monotonic() - begun
    print(f"first audio after {1000 * first:.1f} ms, {samples / 22_050:.0f} s of audio in {whole:.1f} s")
    assert words == len(script.text.split())
    assert step <= 2 * np.abs(np.diff(alone)).max()
    assert first < max(0.05 * BUSY, whole / 50)


@pytest.mark.long
async def test_a_hundred_thousand_letters_without_a_space_are_spoken(speaker: EspeakSpeaker) -> None:
    recording = await recorded(speaker.speak(task_of("a" * 100_000)))
    assert recording.ending is not None
    assert recording.batches[-1].characters == 100_000
    assert recording.ending.samples > 3600 * recording.ending.sample_rate / 10


async def test_too_many_are_told_so() -> None:
    busy = EspeakSpeaker(workers=1, queue=0)
    speaking = aiter(busy.speak(task_of(SENTENCE * 3)))
    await anext(speaking)
    for task in (task_of("Short."), endless()):
        with pytest.raises(EngineBusy):
            await recorded(busy.speak(task))
    await busy.aclose()
    for asked in (recorded(busy.speak(task_of("Late."))), busy.voices()):
        with pytest.raises(Unavailable):
            await asked
