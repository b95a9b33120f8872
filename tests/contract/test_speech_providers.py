"""What speakers behind HTTP promise, each on a server that keeps its protocol, and on servers that keep nothing."""

from __future__ import annotations

import socket
import tracemalloc
from dataclasses import replace

import pytest

from services.capabilities.upstream.errors import (
    ProviderCredential,
    ProviderFailure,
    ProviderModelGone,
    ProviderProtocol,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.speech.errors import AudioUnusable
from services.speech.model import Batch, Ending, Format
from services.speech.providers.catalog_file import ResponseFormat
from services.speech.providers.gtts_languages import LANGUAGES
from tests.fakes.image_upstream import (
    Play,
    breaks_off,
    busy,
    claims,
    drips,
    floods,
    hangs,
    redirects,
    says,
)
from tests.fakes.speech_providing import (
    KEY,
    TASK,
    THREE,
    every_protocol,
    failure,
    heard,
    segments,
    speaking,
)
from tests.fakes.speech_studio import PlainStudio
from tests.fakes.speech_upstream import mp3, results, sends, speech_upstream, spoken, wav


@every_protocol
async def test_all_parts_are_spoken_and_stitched_in_their_order(protocol: str) -> None:
    studio = PlainStudio()
    async with speech_upstream() as upstream, speaking(protocol, upstream.at(protocol), studio) as speaker:
        *batches, ending = await heard(speaker)
    texts = [segment.text for segment in THREE]
    assert upstream.texts == texts
    assert studio.added == [(spoken(asked), 0.25, len(asked.content["input"])) for asked in upstream.asked]
    assert b"".join(batch.data for batch in batches if isinstance(batch, Batch)) == b"".join(
        audio for audio, _, _ in studio.added
    )
    assert isinstance(ending, Ending)
    assert (studio.formats, studio.at_work) == ([Format.OGG_OPUS], 0)
    assert {one.headers["accept-encoding"] for one in upstream.asked} == {"identity"}


async def test_what_openai_is_asked() -> None:
    async with speech_upstream() as upstream, speaking("openai", upstream.at("openai")) as speaker:
        await heard(speaker, replace(TASK, segments=segments("Häh?")))
        await heard(speaker, replace(TASK, segments=segments("Häh?"), rate=1.5))
    first, second = upstream.asked
    assert (first.method, first.path) == ("POST", "/v1/audio/speech")
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert first.headers["content-type"] == "application/json"
    content = {"model": "up/stream", "input": "Häh?", "voice": "nova", "response_format": "wav"}
    assert first.content == content
    assert second.content == {**content, "speed": 1.5}


async def test_a_model_is_asked_for_the_format_of_the_catalog() -> None:
    studio = PlainStudio()
    async with (
        speech_upstream() as upstream,
        speaking("openai", upstream.at("openai"), studio, response_format=ResponseFormat.MP3) as speaker,
    ):
        await heard(speaker, replace(TASK, segments=segments("Hello.")))
    assert upstream.asked[0].content["response_format"] == "mp3"
    assert studio.added == [(mp3("Hello."), 0.0, 6)]


async def test_what_google_translate_is_asked() -> None:
    async with speech_upstream() as upstream, speaking("gtts", upstream.at("gtts")) as speaker:
        await heard(speaker, replace(TASK, voice="iw", segments=segments('Say "100 %" & +1.')))
    (asked,) = upstream.asked
    assert (asked.method, asked.path) == ("POST", "/_/TranslateWebserverUi/data/batchexecute")
    assert asked.content == {
        "form": ["f.req"],
        "call": ["jQ1olc", None, "generic"],
        "input": 'Say "100 %" & +1.',
        "voice": "iw",
        "speed": None,
        "last": "null",
    }
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded;charset=utf-8"
    assert asked.headers["referer"] == upstream.origin + "/"
    assert not {"authorization", "cookie"} & asked.headers.keys()


async def test_what_can_not_be_pronounced_is_not_sent_to_google_translate() -> None:
    parts = segments("One. ", "— — …", "Two.", pause=0.1)
    async with speech_upstream() as upstream, speaking("gtts", upstream.at("gtts")) as speaker:
        await heard(speaker, replace(TASK, segments=parts))
        assert isinstance((await heard(speaker, replace(TASK, segments=segments("…"))))[-1], Ending)
    assert upstream.texts == ["One. ", "Two."]


async def test_google_translate_has_a_voice_for_each_language() -> None:
    async with speaking("gtts", "http://127.0.0.1:9") as speaker:
        voices = await speaker.voices()
    assert [voice.name for voice in voices] == [voice.language for voice in voices]
    assert len({voice.name for voice in voices}) == len(voices) == len(LANGUAGES) > 60
    assert all(len(voice.language) <= 10 and voice.sample_rate == 24_000 for voice in voices)
    assert {voice.name: voice.upstream for voice in voices if voice.name != voice.upstream} == {
        "he": "iw",
        "jv": "jw",
    }


@every_protocol
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRefused),
        (401, ProviderCredential),
        (404, ProviderModelGone),
        (429, ProviderRateLimited),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
    ],
)
async def test_a_status_is_told_as_what_it_means(
    protocol: str, status: int, kind: type[ProviderFailure]
) -> None:
    said = KEY if protocol == "openai" else "you"
    body = {"error": {"message": f"no such thing for {said}"}}
    error, upstream = await failure(protocol, says(status, body, x_request_id="up-1", Retry_After="7"))
    assert type(error) is kind
    assert (error.metadata["http_status"], error.upstream_request_id) == (str(status), "up-1")
    assert ("no such thing" in error.message) is (kind is ProviderRefused)
    assert error.asked_pause == (7 if status in (429, 503) else None)
    assert len(upstream.asked) == 1


@every_protocol
@pytest.mark.parametrize("play", [claims(2 * 1024**3), floods()], ids=["claims", "floods"])
async def test_what_is_too_large_is_not_read(protocol: str, play: Play) -> None:
    tracemalloc.start()
    try:
        error, _ = await failure(protocol, play, closes=1)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (type(error), error.metadata["detail"]) == (AudioUnusable, "bytes")
    # What is allowed for the answer, some copies of it, and the code that runs.
    assert most < 8_000_000


@every_protocol
@pytest.mark.parametrize("play", [hangs(), drips()], ids=["silent", "drips"])
async def test_a_part_ends_in_time_and_its_socket_with_it(protocol: str, play: Play) -> None:
    error, upstream = await failure(protocol, play, total=0.1, closes=1, retries=2)
    assert (type(error), error.metadata["stage"]) == (ProviderTimeout, "total")
    # Whoever was silent may be at work on it.
    assert len(upstream.asked) == 1


@every_protocol
async def test_an_endpoint_that_lets_nobody_in_is_told_as_such(protocol: str) -> None:
    # A backlog of none takes one, and leaves the next ones waiting.
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),
    ):
        base_url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with speaking(protocol, base_url, connect=0.1) as speaker:
            with pytest.raises(ProviderTimeout) as late:
                await heard(speaker)
    assert late.value.metadata["stage"] == "connect"


@every_protocol
async def test_an_endpoint_that_is_not_there_or_breaks_off_is_told_as_such(protocol: str) -> None:
    error, _ = await failure(protocol, breaks_off())
    assert type(error) is ProviderUnavailable
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with speaking(protocol, base_url, retries=0) as speaker:
            with pytest.raises(ProviderUnavailable):
                await heard(speaker)


@every_protocol
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>we are sorry</html>",
        b'{"error": "no"}',
        b"upstream failed\r\n",
        "keine Lust für heute: ".encode() * 9,
    ],
    ids=["empty", "html", "json", "text", "long"],
)
async def test_a_text_in_the_place_of_audio_is_no_audio(protocol: str, data: bytes) -> None:
    error, _ = await failure(protocol, sends(data))
    assert type(error) is ProviderProtocol


async def test_what_audio_claims_to_be_is_not_believed() -> None:
    studio = PlainStudio()
    async with speech_upstream() as upstream:
        upstream.answers(sends(wav("Hello."), kind="text/html"))
        async with speaking("openai", upstream.at("openai"), studio) as speaker:
            await heard(speaker, replace(TASK, segments=segments("Hello.")))
    assert studio.added == [(wav("Hello."), 0.0, 6)]


@pytest.mark.parametrize(
    "play",
    [
        results(None),
        results([]),
        results([None]),
        results([""]),
        results({"audio": "x"}),
        results(["this is no base64!"]),
        results(["QUJD="]),
        results(["ünicode"]),
        says(200, b')]}\'\n\n[["wrb.fr","jQ1olc"]]'),
        says(200, b')]}\'\n\n[["wrb.fr","jQ1olc","not json"]]'),
        says(200, b')]}\'\n\n[["wrb.fr","jQ1olc",'),
        says(200, b'"jQ1olc"' + b"[" * 100_000),
        says(200, b'\xff"jQ1olc"'),
        says(200, b"<html>Sorry</html>"),
        says(200, b""),
    ],
)
async def test_an_answer_of_google_translate_without_audio_is_not_its_protocol(play: Play) -> None:
    error, _ = await failure("gtts", play)
    assert type(error) is ProviderProtocol


@every_protocol
async def test_nothing_is_unpacked(protocol: str) -> None:
    error, _ = await failure(protocol, says(200, b"\x1f\x8b" * 9, Content_Encoding="gzip"))
    assert type(error) in (ProviderProtocol, ProviderUnavailable)


@every_protocol
async def test_a_redirect_is_not_followed(protocol: str) -> None:
    async with speech_upstream() as inner:
        error, _ = await failure(protocol, redirects(inner.origin + "/admin"))
        assert inner.asked == []
    assert type(error) is ProviderModelGone


@every_protocol
async def test_a_part_alone_is_asked_for_again(protocol: str) -> None:
    studio = PlainStudio()
    async with speech_upstream() as upstream:
        upstream.answers(sends(b"\x00first"), busy(429), busy(503), sends(b"\x00later"))
        async with speaking(protocol, upstream.at(protocol), studio, retries=2) as speaker:
            await heard(speaker)
    one, two, three = (segment.text for segment in THREE)
    assert upstream.texts == [one, two, two, two, three]
    assert [audio for audio, _, _ in studio.added] == [b"\x00first", b"\x00later", b"\x00later"]


@every_protocol
async def test_a_part_is_asked_for_again_so_often_at_most(protocol: str) -> None:
    error, upstream = await failure(protocol, busy(429), retries=3)
    assert type(error) is ProviderRateLimited
    assert len(upstream.asked) == 4


@every_protocol
@pytest.mark.parametrize("after", ["2", "30"], ids=["no-time-left", "too-long"])
async def test_a_provider_that_asks_for_a_long_pause_is_not_asked_again(protocol: str, after: str) -> None:
    error, upstream = await failure(protocol, busy(503, after=after), retries=3, total=1.0)
    assert error.asked_pause == float(after)
    assert len(upstream.asked) == 1
