"""Parts of audio made into one file (`speech.ports.Studio`)."""

import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from services.kernel.errors import Unavailable
from services.speech.errors import AudioUnusable
from services.speech.model import Format
from services.speech.providers.studio import WorkerStudio
from tests.fakes.speech_tasks import recorded

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = 16_000


def tone(hertz: float, seconds: float, rate: int = RATE, subtype: str = "WAV") -> bytes:
    file = io.BytesIO()
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    soundfile.write(file, wave, rate, format=subtype)
    return file.getvalue()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio() -> AsyncIterator[WorkerStudio]:
    made = WorkerStudio(workers=1)
    yield made
    await made.aclose()


async def test_parts_of_all_kinds_become_one_file_with_their_pauses(studio: WorkerStudio) -> None:
    async with studio.stitching(Format.WAV) as stitching:
        first = await recorded(stitching.add(tone(440, 1.0), 0.5, 10))
        second = await recorded(stitching.add(tone(880, 1.0, 48_000, "FLAC"), 0.0, 7))
        last = await recorded(stitching.end())
    # Each part is on its way before the next one is there.
    assert sum(piece.samples for piece in first.pieces) > RATE
    assert (first.batches[-1].characters, second.batches[-1].characters) == (10, 17)
    assert last.ending is not None
    last.data = first.data + second.data + last.data
    samples = last.samples
    assert last.ending.sample_rate == RATE
    assert last.ending.samples == len(samples) == pytest.approx(2.5 * RATE, abs=2)
    assert not samples[RATE + 100 : RATE * 3 // 2 - 100].any()
    for since, hertz in ((0, 440), (1.5, 880)):
        part = samples[round((since + 0.1) * RATE) : round((since + 0.9) * RATE)]
        assert np.argmax(np.abs(np.fft.rfft(part))) * RATE / len(part) == pytest.approx(hertz, abs=2)


@pytest.mark.parametrize(
    ("audio", "detail"), [(b"<html>busy</html>", "format"), (tone(440, 1.0)[:9000], "truncated")]
)
async def test_what_is_no_audio_is_told_and_the_next_file_can_be_made(
    studio: WorkerStudio, audio: bytes, detail: str
) -> None:
    with pytest.raises(AudioUnusable) as failure:
        async with studio.stitching(Format.MP3) as stitching:
            await recorded(stitching.add(audio, 0.0, 1))
    assert failure.value.metadata["detail"] == detail
    async with studio.stitching(Format.MP3) as stitching:
        assert (await recorded(stitching.end())).ending


async def test_a_failure_of_the_block_is_its_own(studio: WorkerStudio) -> None:
    async def failing() -> None:
        async with studio.stitching(Format.FLAC) as stitching:
            await recorded(stitching.add(tone(440, 0.1), 0.0, 1))
            raise KeyError

    with pytest.raises(KeyError):
        await failing()
    async with studio.stitching(Format.FLAC) as stitching:
        assert (await recorded(stitching.end())).ending


async def test_a_closed_studio_is_not_there() -> None:
    closed = WorkerStudio(workers=1)
    await closed.aclose()
    with pytest.raises(Unavailable):
        async with closed.stitching(Format.WAV):
            pass
