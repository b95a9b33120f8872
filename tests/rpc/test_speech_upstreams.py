"""Speech of real HTTP upstreams through the whole suite: good audio is kept and metered, hostile answers end in an error that tells, and leave nothing."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
import soundfile
from aiohttp import web
from antiphon.speech.v1 import speech_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.image_upstream import Asked, Play, busy, claims, drips, floods, hangs, redirects, says
from tests.fakes.served_suite import Person, Served, failed, failure, until
from tests.fakes.speech_calls import downloaded, heard, metered, objects, quantities, signal, spoken, stream
from tests.fakes.speech_upstream import (
    SECONDS_A_CHARACTER,
    SpeechUpstream,
    mp3,
    sends,
    speaks,
    speech_upstream,
    wav,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

PROVIDER = """
[providers.openai-like]
protocol = "openai"
base_url = "{url}"
"""
MODEL = """
[[models]]
name = "{name}"
provider = "openai-like"
voices = [{{ name = "nova", language = "en" }}]
response_format = "{format}"
"""
RESPONSES = ("wav", "mp3", "flac", "opus")
MODELS = (*RESPONSES, "gtts")
BROKEN = ("wav", "gtts")
FORMATS = (
    speech_pb2.AUDIO_FORMAT_WAV,
    speech_pb2.AUDIO_FORMAT_MP3,
    speech_pb2.AUDIO_FORMAT_OGG_OPUS,
    speech_pb2.AUDIO_FORMAT_FLAC,
)
TEXT = "A fine day for a walk."
PARTS = "This is a part, which is well. " + "Those that come later are longer, as they are joined. " * 250
# What a codec puts before and behind.
PADDING_SECONDS = 0.13
# What is on its way to a caller at that moment, in milliseconds.


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[SpeechUpstream]:
    async with speech_upstream() as made:
        yield made


@pytest.fixture(scope="module")
def suite_environ(upstream: SpeechUpstream, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("catalog") / "speech-models.toml"
    models = [MODEL.format(name=each, format=each) for each in RESPONSES]
    path.write_text(PROVIDER.format(url=upstream.at("openai")) + "".join(models))
    return {
        "ANTIPHON_SPEECH__MODELS_FILE": str(path),
        "ANTIPHON_SPEECH__GTTS_URL": upstream.at("gtts"),
        # Longer than a busy machine takes for an answer that is there.
        "ANTIPHON_SPEECH__TIMEOUT": "3s",
        "ANTIPHON_SPEECH__RETRIES": "1",
        "ANTIPHON_SPEECH__MAX_AUDIO_BYTES": "2MiB",
    }


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return ("auth", "speech")


def encoded(text: str, kind: str) -> bytes:
    """The tone of a text in a format."""
    samples, rate = signal(wav(text))
    file = io.BytesIO()
    format_, subtype = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}[kind]
    soundfile.write(file, samples, rate, format=format_, subtype=subtype)
    return file.getvalue()


def speaks_as_asked() -> Play:
    """A tone in the format that is asked for."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        kind = asked.content.get("response_format", "mp3")
        if kind in ("flac", "opus"):
            return web.Response(body=encoded(asked.content["input"], kind), content_type="audio/ogg")
        return await speaks()(request, asked)

    return play


def open_spools(suite: Served) -> int:
    """How many files hold audio that is being made: the suite runs in this process."""
    folder, count = suite.suite.settings.data_dir / "spool", 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += Path(os.readlink(f"/proc/self/fd/{name}")).is_relative_to(folder)
        except OSError:
            continue
    return count


async def nothing_kept(suite: Served, person: Person, reason: str) -> usage_pb2.UsageEvent:
    """Neither in the table nor in the folder nor in the spool is anything of a person who has made no conversion yet. Returns the one event."""

    async def ended() -> list[usage_pb2.UsageEvent]:
        return await metered(suite, person)

    event: usage_pb2.UsageEvent
    (event,) = await until(ended)
    assert await suite.rows("select 1 from speech.tts_conversions where user_id = %s", person.user_id) == []
    ((generation_id, state, told),) = await suite.rows(
        "select generation_id::text, state, event_reason from speech.generations where user_id = %s",
        person.user_id,
    )
    assert (state, told) == ("failed", reason)
    assert (event.status, event.error_reason) == (usage_pb2.USAGE_STATUS_ERROR, reason)
    assert not [key for key in objects(suite) if generation_id in key]

    async def closed() -> bool:
        return open_spools(suite) == 0

    await until(closed)
    return event


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("model", MODELS)
async def test_what_an_upstream_speaks_is_kept_and_metered(
    suite: Served,
    upstream: SpeechUpstream,
    ana: Person,
    model: str,
    format_: speech_pb2.AudioFormat,
) -> None:
    upstream.answers(speaks_as_asked())
    made = await spoken(suite, ana, TEXT, model=model, language="en", format=format_)
    assert (made.model, made.format, made.character_count) == (model, format_, len(TEXT))
    seconds = len(TEXT) * SECONDS_A_CHARACTER
    assert made.duration_seconds == pytest.approx(seconds, abs=PADDING_SECONDS)
    data, _ = await downloaded(suite, ana, made.conversion_id)
    samples, rate = signal(data)
    assert len(samples) / rate == pytest.approx(made.duration_seconds, abs=0.02)
    # It is the tone of this text, and no other.
    loudest = np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples)
    wanted, its_rate = signal(wav(TEXT))
    assert loudest == pytest.approx(
        np.argmax(np.abs(np.fft.rfft(wanted))) * its_rate / len(wanted), abs=2 / seconds
    )
    (event,) = await metered(suite, ana)
    assert event.status == usage_pb2.USAGE_STATUS_SUCCESS
    used = quantities(event)
    assert used["CHARACTERS"] == len(TEXT)
    assert used["AUDIO_MILLISECONDS"] == pytest.approx(made.duration_seconds * 1000, abs=5.001)


async def test_what_is_streamed_of_many_parts_is_what_is_stored(
    suite: Served, upstream: SpeechUpstream, ana: Person
) -> None:
    upstream.answers(speaks())
    found = await heard(suite, ana, PARTS, model="mp3", format=speech_pb2.AUDIO_FORMAT_MP3)
    assert "".join(upstream.texts).endswith(PARTS.strip())
    data, _ = await downloaded(suite, ana, found.finished.conversion.conversion_id)
    assert data == found.data
    assert not found.words


def endless(data: bytes) -> Play:
    """Audio that never ends, a little at a time."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
        await response.prepare(request)
        while True:
            await response.write(data)
            await asyncio.sleep(0.05)

    return play


WHOLE = wav(TEXT)


@pytest.mark.parametrize("model", BROKEN)
@pytest.mark.parametrize(
    ("play", "code", "reason", "detail"),
    [
        (says(401), "FAILED_PRECONDITION", "PROVIDER_CREDENTIAL", ""),
        (busy(429, "0"), "RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED", ""),
        (busy(503, "0"), "UNAVAILABLE", "PROVIDER_UNAVAILABLE", ""),
        (says(200, b"<html>gone</html>", "text/html"), "UNAVAILABLE", "PROVIDER_PROTOCOL", ""),
        (sends(WHOLE[: len(WHOLE) // 2]), "UNAVAILABLE", "AUDIO_UNUSABLE", "truncated"),
        (sends(mp3(TEXT)[:200], "audio/mpeg"), "UNAVAILABLE", "AUDIO_UNUSABLE", "truncated"),
        (sends(WHOLE[:44]), "UNAVAILABLE", "AUDIO_UNUSABLE", "truncated"),
        (sends(bytes(10_000)), "UNAVAILABLE", "AUDIO_UNUSABLE", "format"),
        (sends(b""), "UNAVAILABLE", "PROVIDER_PROTOCOL", ""),
        (hangs(), "DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT", ""),
        (drips(), "DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT", ""),
        (endless(WHOLE[:1000]), "DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT", ""),
        (floods(), "UNAVAILABLE", "AUDIO_UNUSABLE", "bytes"),
        (claims(2 * 1024**3), "UNAVAILABLE", "AUDIO_UNUSABLE", "bytes"),
    ],
    ids=[
        "key",
        "limited",
        "busy",
        "html",
        "half-wav",
        "half-mp3",
        "no-samples",
        "no-audio",
        "empty",
        "hangs",
        "drips",
        "endless",
        "floods",
        "claims",
    ],
)
async def test_a_hostile_answer_ends_in_an_error_that_tells_and_leaves_nothing(
    suite: Served,
    upstream: SpeechUpstream,
    ana: Person,
    ben: Person,
    model: str,
    play: Any,
    code: str,
    reason: str,
    detail: str,
) -> None:
    upstream.answers(play)
    error = await failure(stream(suite, ana, TEXT, model=model, language="en"))
    assert (error.code.name, error.reason) == (code, reason)
    assert error.metadata["model"] == model
    assert error.metadata.get("detail", "") == detail or not detail
    event = await nothing_kept(suite, ana, error.reason)
    assert quantities(event) == {}
    # Whatever takes audio apart is there for the next one.
    upstream.answers(speaks())
    assert (await spoken(suite, ben, TEXT, model=model, language="en")).duration_seconds > 0


@pytest.mark.parametrize("model", BROKEN)
async def test_nobody_is_led_elsewhere(
    suite: Served, upstream: SpeechUpstream, ana: Person, model: str
) -> None:
    upstream.answers(redirects(f"{upstream.origin}/secret"), speaks())
    before = len(upstream.asked)
    error = await failure(stream(suite, ana, TEXT, model=model, language="en"))
    assert error.what == ("FAILED_PRECONDITION", "MODEL_NOT_READY")
    assert [asked.path for asked in upstream.asked[before:]] == [upstream.asked[before].path]
    await nothing_kept(suite, ana, error.reason)


@pytest.mark.parametrize("model", BROKEN)
async def test_of_parts_before_one_that_fails_what_was_spoken_is_metered(
    suite: Served, upstream: SpeechUpstream, ana: Person, model: str
) -> None:
    upstream.answers(*[speaks()] * 6, sends(WHOLE[: len(WHOLE) // 2]))
    milliseconds, error = 0.0, None
    try:
        async for each in stream(suite, ana, PARTS, model=model, language="en"):
            milliseconds += each.audio.duration.ToNanoseconds() / 1e6
            # Slower than it is made.
            await asyncio.sleep(0.005)
    except grpc.aio.AioRpcError as raised:
        error = failed(raised)
    assert error is not None
    assert error.what == ("UNAVAILABLE", "AUDIO_UNUSABLE")
    used = quantities(await nothing_kept(suite, ana, "AUDIO_UNUSABLE"))
    assert 0 < milliseconds <= used["AUDIO_MILLISECONDS"] + 1
    assert 0 < used["CHARACTERS"] < len(PARTS)
