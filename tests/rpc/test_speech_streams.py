"""StreamSynthesize: what is heard, in which order, and what is left when somebody or something goes away in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
import uuid
from collections.abc import Sequence

import psutil
import pytest
from antiphon.speech.v1 import speech_pb2
from antiphon.usage.v1 import usage_pb2
from google.protobuf.duration_pb2 import Duration

from tests.fakes.served_suite import Person, Served, failure, until
from tests.fakes.speech_calls import (
    SENTENCES,
    Heard,
    downloaded,
    heard,
    metered,
    objects,
    quantities,
    signal,
    spoken,
    stream,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = "This is one of very many sentences, which all sound alike. " * 1500
FORMATS = (
    speech_pb2.AUDIO_FORMAT_WAV,
    speech_pb2.AUDIO_FORMAT_MP3,
    speech_pb2.AUDIO_FORMAT_OGG_OPUS,
    speech_pb2.AUDIO_FORMAT_FLAC,
)


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return ("auth", "speech")


def milliseconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e6


@pytest.mark.parametrize("format_", FORMATS)
async def test_the_audio_comes_in_pieces_that_add_up(
    suite: Served, ana: Person, format_: speech_pb2.AudioFormat
) -> None:
    found = await heard(suite, ana, format=format_)
    assert found.events[0].HasField("started")
    assert found.events[-1].HasField("finished")
    total = 0.0
    for chunk in found.chunks:
        assert milliseconds(chunk.offset) == pytest.approx(total, abs=0.001)
        assert 20 <= milliseconds(chunk.duration) <= 200
        total += milliseconds(chunk.duration)
    finished = found.finished
    assert milliseconds(finished.audio_duration) == pytest.approx(total, abs=0.001)
    assert finished.conversion.duration_seconds == pytest.approx(total / 1000, abs=0.006)
    assert (finished.audio_bytes, finished.chunk_count, finished.word_count) == (
        len(found.data),
        len(found.chunks),
        len(found.words),
    )
    assert found.started.conversion_id == finished.conversion.conversion_id
    samples, rate = signal(found.data)
    assert abs(len(samples) / rate * 1000 - total) <= 20
    data, _ = await downloaded(suite, ana, finished.conversion.conversion_id)
    stored, _ = signal(data)
    assert (stored == samples).all()


async def test_words_are_told_in_order_with_their_places_and_times(suite: Served, ana: Person) -> None:
    found = await heard(suite, ana)
    assert found.started.gives_word_timings
    text = found.finished.conversion.text
    assert [word.text for word in found.words][:3] == ["Hello", "there", "dear"]
    before = 0.0
    for word in found.words:
        assert text[word.text_offset : word.text_offset + len(word.text)] == word.text
        assert before <= milliseconds(word.start) <= milliseconds(word.end)
        before = milliseconds(word.end)
    assert before <= milliseconds(found.finished.audio_duration)


async def test_the_first_sentence_is_heard_before_the_last_is_made(suite: Served, ana: Person) -> None:
    call = stream(suite, ana, LONG)
    try:
        async for event in call:
            if event.HasField("audio"):
                break
        made = await suite.rows(
            "select count(*) from speech.generations where state = 'running' and user_id = %s", ana.user_id
        )
        assert made == [(1,)]
    finally:
        call.cancel()


async def test_marks_are_heeded(suite: Served, ana: Person) -> None:
    plain = await spoken(suite, ana, "One. Two.")
    marked = await spoken(
        suite,
        ana,
        "",
        ssml="<speak>One. <break time='2s'/> <prosody rate='50%'>Two.</prosody></speak>",
    )
    assert marked.text == "One. Two."
    assert marked.ssml.startswith("<speak>")
    assert marked.duration_seconds > plain.duration_seconds + 2


async def test_who_leaves_ends_it_and_has_used_what_was_spoken(suite: Served, ana: Person) -> None:
    request_id = str(uuid.uuid4())
    call = stream(suite, ana, LONG, request_id=request_id)
    pieces = 0
    async for event in call:
        pieces += event.HasField("audio")
        if pieces == 40:
            break
    call.cancel()

    async def ended() -> list[usage_pb2.UsageEvent]:
        return await metered(suite, ana)

    (event,) = await until(ended)
    assert event.status == usage_pb2.USAGE_STATUS_CANCELLED
    used = quantities(event)
    assert 0 < used["CHARACTERS"] < len(LONG)
    assert used["AUDIO_MILLISECONDS"] >= 40 * 100
    rows = await suite.rows("select state from speech.generations where user_id = %s", ana.user_id)
    assert rows == [("cancelled",)]
    # The id is free, and the text may be another.
    again = await spoken(suite, ana, "Short.", request_id=request_id)
    assert again.metadata.request_id == request_id
    kept = await suite.rows("select conversion_id::text from speech.tts_conversions")
    assert {key.split("/")[4] for key in objects(suite)} <= {row[0] for row in kept}


@pytest.mark.parametrize("way", ["cancelled", "late"])
async def test_who_asks_again_at_once_gets_what_the_first_call_did_not(
    suite: Served, ana: Person, way: str
) -> None:
    for number in range(2):
        request_id = str(uuid.uuid4())
        if way == "late":
            unary = speech_pb2.SynthesizeRequest(text=LONG, request_id=request_id)
            call = suite.speech.Synthesize(unary, metadata=ana.metadata, timeout=0.15 + number / 100)
            assert (await failure(call)).code.name == "DEADLINE_EXCEEDED"
        else:
            call = stream(suite, ana, LONG, request_id=request_id, format=speech_pb2.AUDIO_FORMAT_MP3)
            async for event in call:
                if event.HasField("audio"):
                    break
            call.cancel()
        again = stream(suite, ana, LONG, request_id=request_id, format=speech_pb2.AUDIO_FORMAT_MP3)
        pieces = 0
        async for event in again:
            pieces += event.HasField("audio")
            if pieces == 20:
                break
        assert pieces == 20
        again.cancel()


async def test_who_listens_slowly_has_the_rest_from_what_is_stored(suite: Served, ana: Person) -> None:
    text = LONG[:4_000]
    call = stream(suite, ana, text)
    events, heard_by_then = [], 0
    async for event in call:
        events.append(event)
        if event.HasField("audio"):
            heard_by_then += 1
        if heard_by_then == 3:
            break

    async def completed() -> list[tuple[str]]:
        return await suite.rows(
            "select 1 from speech.generations where user_id = %s and state = 'completed'", ana.user_id
        )

    await until(completed, 30)
    events += [event async for event in call]
    found = Heard(events)
    assert found.finished.chunk_count == len(found.chunks)
    data, _ = await downloaded(suite, ana, found.finished.conversion.conversion_id)
    assert found.data[100:] == data[100:]
    assert found.finished.word_count == len(found.words) > 300
    assert suite.suite.settings.data_dir.joinpath("spool").is_dir()
    assert not [link for link in os.listdir("/proc/self/fd") if "spool" in _target(link)]


def _target(link: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{link}")
    return ""


async def test_two_listeners_of_one_request_hear_the_same(suite: Served, ana: Person) -> None:
    request_id = str(uuid.uuid4())
    text = SENTENCES * 20
    one, other = await asyncio.gather(
        heard(suite, ana, text, request_id=request_id), heard(suite, ana, text, request_id=request_id)
    )
    assert one.finished == other.finished
    assert one.data[100:] == other.data[100:]
    assert len(await metered(suite, ana)) == 1


async def test_a_worker_that_dies_costs_its_caller_one_failure(suite: Served, ana: Person) -> None:
    call = stream(suite, ana, LONG)
    async for event in call:
        if event.HasField("audio"):
            break
    for process in psutil.Process().children(recursive=True):
        if "speech" in " ".join(process.cmdline()):
            os.kill(process.pid, signals.SIGKILL)
    failed = await failure(call)
    assert failed.what == ("UNAVAILABLE", "ENGINE_STOPPED")
    assert failed.retry is not None
    made = await spoken(suite, ana)
    assert made.duration_seconds > 0
    (broken, _) = await metered(suite, ana)
    assert (broken.status, broken.error_reason) == (usage_pb2.USAGE_STATUS_ERROR, "ENGINE_STOPPED")
