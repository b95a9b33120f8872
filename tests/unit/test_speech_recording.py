"""Audio while it is made: what is heard of it, how long and how large it may be, and what it has used."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.capabilities.generations.model import State
from services.speech.errors import AudioTooLong, SpoolFull
from services.speech.generation.recording import Chunk, Recording, Recordings, Said
from services.speech.generation.spool import SpoolSpace
from services.speech.model import Batch, Ending, Format, Generation, Order, Patch, Piece, Used, Word

RATE = 1000
ORDER = Order("StreamSynthesize", 9, "m", "p", "v", "en", Format.WAV, 1.0, 0.0)


def recording(folder: Path, *, most: int = 10**9, user_id: str = "ana") -> Recording:
    generation = Generation("g", user_id, "", "", ORDER, State.RUNNING, datetime.now(UTC))
    recordings = Recordings(SpoolSpace(folder / "spool", most), longest=1.0, anonymous_longest=0.2)
    return recordings.begin(generation, gives_words=True)


def batch(data: bytes, samples: int, characters: int, *words: Word) -> Batch:
    return Batch(RATE, data, [Piece(len(data), samples)], words, characters)


@pytest.mark.parametrize("size", [3, 200_000])
async def test_every_listener_hears_all_of_it_whenever_it_comes(tmp_path: Path, size: int) -> None:
    made = recording(tmp_path)
    sent = [bytes([65 + index]) * size for index in range(4)]

    async def listen() -> list[Chunk | Said]:
        with made.watched() as watch:
            async with aclosing(watch.all()) as events:
                return [event async for event in events]

    with made.made():
        early = asyncio.create_task(listen())
        for index, data in enumerate(sent):
            await made.add(batch(data, 100, index, Word(str(index), index, 100 * index, 100 * index + 9)))
            await asyncio.sleep(0)
        late = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await made.end(Ending(RATE, 400))
        everybody = await asyncio.gather(early, late)
    for heard in everybody:
        chunks = [event for event in heard if isinstance(event, Chunk)]
        assert [chunk.data for chunk in chunks] == sent
        assert [chunk.start for chunk in chunks] == [0, 100, 200, 300]
        # Each word stands before the piece that it begins in.
        assert [type(event) for event in heard] == [Said, Chunk] * 4


async def test_the_file_has_its_patches_and_listeners_of_before_what_they_were_sent(tmp_path: Path) -> None:
    made = recording(tmp_path)
    with made.made():
        await made.add(batch(b"????data", 100, 1))
        with made.watched() as watch:
            events = watch.all()
            first = await anext(events)
            await made.end(Ending(RATE, 100, [Patch(0, b"head")]))
            await events.aclose()
        assert isinstance(first, Chunk)
        assert first.data == b"????data"
        assert await made.spool.read(0, 100) == b"headdata"


async def test_what_was_spoken_is_used(tmp_path: Path) -> None:
    made = recording(tmp_path)
    with made.made():
        await made.add(batch(b"a", 100, 0))
        assert made.used == Used(0, 100)
        # A batch without pieces only tells that the text of those before it is spoken.
        await made.add(Batch(RATE, characters=7))
        assert made.used == Used(7, 100)


async def test_audio_has_a_longest_which_is_less_without_a_credential(tmp_path: Path) -> None:
    for user_id, lasts in (("ana", 10), ("", 2)):
        made = recording(tmp_path, user_id=user_id)
        with made.made():
            for _ in range(lasts):
                await made.add(batch(b"a", 100, 1))
            with pytest.raises(AudioTooLong):
                await made.add(batch(b"a", 100, 1))


async def test_what_is_kept_at_once_is_bounded_and_given_back(tmp_path: Path) -> None:
    space = SpoolSpace(tmp_path / "spool", 500_000)
    generation = Generation("g", "ana", "", "", ORDER, State.RUNNING, datetime.now(UTC))
    recordings = Recordings(space, longest=10.0, anonymous_longest=10.0)
    first, second = (recordings.begin(generation, gives_words=False) for _ in range(2))
    with second.made():
        with first.made():
            await first.add(batch(b"a" * 300_000, 100, 1))
            with pytest.raises(SpoolFull):
                await second.add(batch(b"a" * 300_000, 100, 1))
        await second.add(batch(b"a" * 300_000, 100, 1))


async def test_who_is_told_to_stop_hears_no_more(tmp_path: Path) -> None:
    made = recording(tmp_path)
    with made.made():
        await made.add(batch(b"a", 100, 1))
        with made.watched() as watch:
            events = watch.all()
            await anext(events)
            waiting = asyncio.create_task(anext(events, None))
            await asyncio.sleep(0)
            watch.stop()
            assert await waiting is None


async def test_who_is_behind_when_the_bytes_go_knows_how_far_it_has_come(tmp_path: Path) -> None:
    made = recording(tmp_path)
    with made.watched() as watch:
        with made.made():
            for index in range(3):
                await made.add(batch(b"a" * 200_000, 100, index, Word(str(index), index, 100 * index, 1)))
            events = watch.all()
            given = [await anext(events) for _ in range(2)]
        assert [type(event) for event in given] == [Said, Chunk]
        # What it holds of the next piece is no whole one.
        rest = [event async for event in events]
        assert [type(event) for event in rest] == [Said]
        assert (watch.position, watch.start) == (200_000, 100)
        assert [type(one) for one in watch.left] == [Piece, Word, Piece]
