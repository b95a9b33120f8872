"""Parts of a text are asked for one ahead, and nothing is left open by whoever wants no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import psutil
import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from services.capabilities.upstream.errors import ProviderFailure, ProviderRateLimited
from services.infra.http.session import open_session
from services.speech.errors import AudioUnusable, EngineStopped
from services.speech.model import Batch, Ending, Format, Piece
from services.speech.providers.exchange import Bounds, Exchange, Request
from services.speech.providers.studio import WorkerStudio
from tests.fakes.chat_play import until
from tests.fakes.image_upstream import busy, hangs, says
from tests.fakes.speech_providing import TASK, coming, every_protocol, heard, segments, speaking
from tests.fakes.speech_studio import PlainStudio
from tests.fakes.speech_upstream import (
    PROTOCOLS,
    RATE,
    SECONDS_A_CHARACTER,
    sends,
    speaks,
    speech_upstream,
    spoken,
)

SENTENCES = segments(*(f"Sentence number {number} is this. " for number in range(6)), pause=0.1)
LONG = replace(TASK, segments=SENTENCES)


@every_protocol
async def test_one_part_is_asked_for_ahead_and_no_more(protocol: str) -> None:
    async with (
        speech_upstream() as upstream,
        speaking(protocol, upstream.at(protocol)) as speaker,
        coming(speaker, LONG) as batches,
    ):
        for number in range(1, len(SENTENCES) + 1):
            assert isinstance(await anext(batches), Batch)
            ahead = min(number + 1, len(SENTENCES))
            await until(lambda: len(upstream.asked) >= ahead)  # noqa: B023
            assert len(upstream.asked) == ahead
    assert upstream.texts == [segment.text for segment in SENTENCES]


async def test_the_first_sentence_is_asked_for_alone_and_later_ones_together() -> None:
    parts = segments(*(f"Sentence number {number} is this. " for number in range(200)))
    async with speech_upstream() as upstream, speaking("openai", upstream.at("openai")) as speaker:
        upstream.answers(sends(b"\x00"))
        await heard(speaker, replace(TASK, segments=parts))
        fast = upstream.texts
        await heard(speaker, replace(TASK, segments=parts, rate=0.25))
        slow = upstream.texts[len(fast) :]
    assert "".join(fast) == "".join(slow) == "".join(segment.text for segment in parts)
    assert fast[0] == slow[0] == parts[0].text
    assert 1000 < max(map(len, fast)) <= 1500
    assert max(map(len, slow)) <= 1500 // 4


@every_protocol
async def test_the_first_part_is_heard_before_the_second_has_come(protocol: str) -> None:
    spoken_later = asyncio.Event()
    async with speech_upstream() as upstream, speaking(protocol, upstream.at(protocol)) as speaker:
        upstream.answers(speaks(), speaks(after=spoken_later))
        async with coming(speaker) as batches:
            first = await anext(batches)
            assert isinstance(first, Batch)
            assert first.data == spoken(upstream.asked[0])
            spoken_later.set()
            assert len([batch async for batch in batches]) == 3


@every_protocol
async def test_what_was_spoken_is_heard_before_a_later_part_fails(protocol: str) -> None:
    async with (
        speech_upstream() as upstream,
        speaking(protocol, upstream.at(protocol), retries=0) as speaker,
    ):
        upstream.answers(sends(b"\x00one"), busy(429))
        async with coming(speaker) as batches:
            assert isinstance(await anext(batches), Batch)
            with pytest.raises(ProviderRateLimited):
                await anext(batches)


@every_protocol
async def test_whoever_cancels_has_the_socket_closed_at_once(protocol: str) -> None:
    studio = PlainStudio()
    async with speech_upstream() as upstream, speaking(protocol, upstream.at(protocol), studio) as speaker:
        upstream.answers(hangs(after_headers=True))
        task = asyncio.create_task(heard(speaker))
        await until(lambda: bool(upstream.asked))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: upstream.closed == 1, seconds=1.0)
    assert studio.at_work == 0


@every_protocol
async def test_whoever_stops_reading_has_nothing_more_asked_for(protocol: str) -> None:
    studio = PlainStudio()
    async with speech_upstream() as upstream, speaking(protocol, upstream.at(protocol), studio) as speaker:
        upstream.answers(speaks(), hangs())
        async with coming(speaker) as batches:
            await anext(batches)
            await until(lambda: len(upstream.asked) == 2)
        await until(lambda: upstream.closed == 1, seconds=1.0)
    assert studio.at_work == 0


@every_protocol
async def test_a_studio_that_fails_has_the_part_ahead_given_up(protocol: str) -> None:
    unusable = AudioUnusable("no", "format")
    for failure in (unusable, EngineStopped()):
        studio = PlainStudio(failure=failure)
        async with (
            speech_upstream() as upstream,
            speaking(protocol, upstream.at(protocol), studio) as speaker,
        ):
            upstream.answers(speaks(), hangs())
            with pytest.raises(type(failure)):
                await heard(speaker)
            await until(lambda: upstream.closed == len(upstream.asked) - 1, seconds=1.0)
        assert studio.at_work == 0
    model = "gtts" if protocol == "gtts" else "the-model"
    assert (unusable.metadata["model"], unusable.metadata["detail"]) == (model, "format")


async def test_what_providers_send_becomes_one_file() -> None:
    task = replace(TASK, format=Format.WAV)
    silence = sum(segment.pause for segment in task.segments)
    characters = sum(len(segment.text) for segment in task.segments)
    async with speech_upstream() as upstream, aclosing(WorkerStudio(workers=2)) as studio:
        for protocol in PROTOCOLS:
            async with speaking(protocol, upstream.at(protocol), studio) as speaker:
                *batches, ending = await heard(speaker, task)
            assert isinstance(ending, Ending)
            assert sum(piece.samples for batch in batches for piece in _pieces(batch)) == ending.samples
            expected = round(RATE * (characters * SECONDS_A_CHARACTER + silence))
            # MP3 is padded to whole frames, of 24 ms here, and by what its decoders lag behind.
            assert 0 <= ending.samples - expected < RATE * 0.1
            assert isinstance(batches[-1], Batch)
            assert batches[-1].characters == characters


async def test_the_pauses_are_those_that_the_provider_asks_for_or_ever_longer() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with speech_upstream() as upstream, open_session() as session:
        upstream.answers(busy(429, after="3"), busy(503, after=None), busy(500), sends(b"\x00"))
        exchange = _exchange(session, upstream.origin, sleep)
        assert await exchange.answer(Request("/x", b"{}", "application/json", "*/*", 100)) == b"\x00"
    assert pauses[0] == 3
    assert 0.5 <= pauses[1] <= 1 <= pauses[2] <= 2


def _pieces(batch: Batch | Ending) -> Sequence[Piece]:
    assert isinstance(batch, Batch)
    return batch.pieces


def _exchange(session: ClientSession, base_url: str, sleep: object) -> Exchange:
    return Exchange(
        session,
        base_url=base_url,
        key=None,
        model="m",
        provider="p",
        bounds=Bounds(5.0, 30.0, 3, 100),
        sleep=sleep,  # type: ignore[arg-type]
    )


async def test_a_provider_that_hangs_keeps_nobody_from_another_one() -> None:
    studio = WorkerStudio(workers=1)
    try:
        async with (
            speech_upstream() as slow,
            speech_upstream() as quick,
            speaking("openai", slow.at("openai"), studio, total=30.0) as hanging,
            speaking("gtts", quick.at("gtts"), studio) as other,
        ):
            slow.answers(hangs())
            waiting = asyncio.create_task(heard(hanging))
            await until(lambda: slow.asked)
            assert await heard(other)
            waiting.cancel()
            await asyncio.wait([waiting])
    finally:
        await studio.aclose()


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_no_log_has_a_text_that_a_provider_repeats(status: int) -> None:
    async with speech_upstream() as upstream:
        refusal = says(status, {"error": {"message": "could not speak: My diary", "code": "too_busy"}})
        upstream.answers(refusal, refusal, refusal)
        async with speaking("openai", upstream.at("openai"), retries=1) as speaker:
            with capture_logs() as logs, pytest.raises(ProviderFailure):
                await heard(speaker)
    assert "diary" not in str(logs)
    assert all(line["provider_code"] == "too_busy" for line in logs)


async def test_a_worker_is_used_again_by_the_next_text() -> None:
    studio = WorkerStudio(workers=1)
    try:
        async with (
            speech_upstream() as upstream,
            speaking("openai", upstream.at("openai"), studio) as speaker,
        ):
            workers = set()
            for _ in range(3):
                # As whoever makes a conversion: the ending is the last that is asked for.
                async with aclosing(speaker.speak(TASK)) as batches:  # type: ignore[type-var]
                    async for batch in batches:
                        if isinstance(batch, Ending):
                            break
                workers |= {
                    child.pid for child in psutil.Process().children() if "speech" in str(child.cmdline())
                }
            assert len(workers) == 1
    finally:
        await studio.aclose()
