"""Speech, as both faces of the client hear, fetch and list it; what becomes of it when its connection breaks."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.speech.v1 import speech_pb2
from hypothesis import given
from hypothesis import strategies as st

from antiphon_client import AsyncClient, Client, Retries, _speech_calls
from antiphon_client._async_speech_stream import AsyncSpeechStream
from antiphon_client._calls import Method
from antiphon_client._speaking import SpeechReader
from antiphon_client.errors import (
    AntiphonError,
    BrokenDownload,
    BrokenRecord,
    NotFound,
    Unavailable,
    Unreachable,
)
from tests.scripted_server import BROKEN, failing, until_the_caller_leaves
from tests.scripted_speech import OWNER_TOKEN, Event, ScriptedSpeech, audio_of, pieces, spoken

QUICK = Retries(first_delay=0.001, max_delay=0.05, resume_attempts=3)
MP3, WAV = speech_pb2.AUDIO_FORMAT_MP3, speech_pb2.AUDIO_FORMAT_WAV
HELLO = audio_of("hello world", MP3)


@pytest.fixture
def server() -> Iterator[ScriptedSpeech]:
    with ScriptedSpeech() as scripted:
        yield scripted


@pytest.fixture
def client(server: ScriptedSpeech) -> Iterator[Client]:
    with Client(server.address, token="ak_1_secret", retries=QUICK) as made:
        yield made


def sent(server: ScriptedSpeech, method: str) -> Any:
    return server.of(method)[-1].request


def heard(events: Sequence[Event]) -> bytes:
    return b"".join(event.audio.data for event in events)


def kinds(events: Sequence[Event]) -> list[str | None]:
    return [event.WhichOneof("event") for event in events]


def test_a_text_is_spoken_as_asked_also_when_the_answer_is_lost(
    client: Client, server: ScriptedSpeech
) -> None:
    server.fail("Synthesize", BROKEN)
    made = client.synthesize(
        "hola", language="es", voice="Ana", model="m", audio_format=WAV, speaking_rate=1.5, pitch=-2
    )
    assert (made.text, made.language, made.voice, made.model, made.format) == ("hola", "es", "Ana", "m", WAV)
    first, second = (seen.request for seen in server.of("Synthesize"))
    assert first == second
    assert isinstance(first, speech_pb2.SynthesizeRequest)
    assert first.request_id
    assert (first.speaking_rate, first.pitch) == (1.5, -2)
    client.synthesize(ssml="<speak>hola</speak>", request_id="0198c5a2-0000-4000-8000-000000000001")
    assert sent(server, "Synthesize").WhichOneof("input") == "ssml"
    assert sent(server, "Synthesize").request_id == "0198c5a2-0000-4000-8000-000000000001"


@pytest.mark.parametrize("reason", ["PROVIDER_UNAVAILABLE", "AUDIO_UNUSABLE", "AUDIO_NOT_STORED"])
def test_what_would_cost_again_is_not_repeated(client: Client, server: ScriptedSpeech, reason: str) -> None:
    failed = failing(grpc.StatusCode.UNAVAILABLE, reason, retry_after=0.001)
    server.fail("Synthesize", failed)
    server.fail("StreamSynthesize", failed)
    with pytest.raises(AntiphonError):
        client.synthesize("hello")
    with pytest.raises(AntiphonError):
        list(client.stream_synthesize("hello"))
    assert len(server.calls) == 2


def test_what_is_spoken_is_a_text_or_ssml(client: Client, server: ScriptedSpeech) -> None:
    for text, ssml in (("", ""), ("hello", "<speak/>")):
        with pytest.raises(TypeError, match="either"):
            client.stream_synthesize(text, ssml=ssml)
    assert not server.calls


def test_speech_is_heard_while_it_is_made(client: Client, server: ScriptedSpeech) -> None:
    with client.stream_synthesize("hello world", audio_format=MP3) as stream:
        events = list(stream)
    assert kinds(events) == ["started", *["audio", "word"] * 4, "finished"]
    assert heard(events) == HELLO
    assert stream.finished is not None
    assert stream.finished.conversion.text == "hello world"
    assert stream.seconds == pytest.approx(0.4)


def test_a_broken_connection_is_sought_and_each_event_comes_once(
    client: Client, server: ScriptedSpeech
) -> None:
    # Each call is another conversion that sounds the same; the third one ends in order, but too early.
    made = [spoken(server.add_conversion("hello world")) for _ in range(4)]
    server.speeches += ([BROKEN], [*made[0][:4], BROKEN], made[1][:6], [*made[2][:3], BROKEN], made[3])
    told: list[object] = []
    with client.stream_synthesize("hello world", on_reconnect=told.append) as stream:
        events = list(stream)
    assert kinds(events) == ["started", *["audio", "word"] * 4, "finished"]
    assert heard(events) == HELLO
    assert stream.started is not None
    assert stream.started.conversion_id == events[-1].finished.conversion.conversion_id
    assert len(told) == 4
    assert len({seen.request.request_id for seen in server.of("StreamSynthesize")}) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("anew", ["hullo world", "hello", ""])
def test_what_sounds_otherwise_is_not_gone_on_with(client: Client, server: ScriptedSpeech, anew: str) -> None:
    first, second = (spoken(server.add_conversion(text)) for text in ("hello world", anew))
    server.speeches += ([*first[:9], BROKEN], second)
    stream = client.stream_synthesize("hello world")
    with pytest.raises(BrokenRecord) as caught:
        list(stream)
    assert caught.value.__notes__ == ["The speech broke off after 0.4 s of audio."]
    assert len(server.calls) == 2
    assert list(stream) == []


def another_speaker(server: ScriptedSpeech, *, model: str = "espeak", voice: str = "Anna") -> list[list[Any]]:
    """Two calls: one that breaks while it is heard, and one that somebody else speaks, and goes on as long as it is listened to."""
    first = spoken(server.add_conversion("hello world"))
    second = spoken(server.add_conversion("hello world", model=model, voice=voice))
    return [[*first[:3], BROKEN], [*second[:6], until_the_caller_leaves]]


async def hear(stream: AsyncSpeechStream, into: list[Event]) -> None:
    async for event in stream:
        into.append(event)  # noqa: PERF401 - what came before a failure counts.


@pytest.mark.parametrize("other", [{"model": "gtts"}, {"voice": "Otto"}])
async def test_nobody_hears_another_speaker_go_on(server: ScriptedSpeech, other: dict[str, str]) -> None:
    heard_of: list[Event] = []
    with Client(server.address, retries=QUICK) as client:
        server.speeches += another_speaker(server, **other)
        with pytest.raises(BrokenRecord, match=r"begun by espeak \(Anna\), and is spoken anew by"):
            heard_of.extend(client.stream_synthesize("hello world"))
        assert server.of("StreamSynthesize")[1].ended.wait(10)
    async with AsyncClient(server.address, retries=QUICK) as asynchronous:
        server.speeches += another_speaker(server, **other)
        stream = asynchronous.stream_synthesize("hello world")
        with pytest.raises(BrokenRecord):
            await hear(stream, heard_of)
        assert await asyncio.to_thread(server.of("StreamSynthesize")[3].ended.wait, 10)
        assert stream.started is not None
        assert (stream.started.model, stream.started.voice) == ("espeak", "Anna")
    assert kinds(heard_of) == ["started", "audio", "word"] * 2


def test_a_conversion_that_is_stored_meanwhile_is_heard_to_its_end(
    client: Client, server: ScriptedSpeech
) -> None:
    # As it is stored its first piece tells the length, and words come before their audio.
    made = server.add_conversion("hello world", audio_format=WAV)
    live, stored = spoken(made), spoken(made)
    stored[1].audio.data = audio_of("", WAV)[:16]
    stored[1:3], stored[3:5] = stored[2:0:-1], stored[4:2:-1]
    server.speeches += ([*live[:4], BROKEN], stored)
    with client.stream_synthesize("hello world", audio_format=WAV) as stream:
        assert heard(list(stream)) == audio_of("hello world", WAV, streamed=True)


@given(st.lists(st.integers(0, 30), max_size=8))
def test_however_often_it_breaks_every_event_comes_once(breaks: list[int]) -> None:
    conversion = ScriptedSpeech().add_conversion("one two three four five six seven")
    events = spoken(conversion)
    reader = SpeechReader(_speech_calls.stream_synthesize("any", {}))
    taken = []
    for stops_at in breaks:
        reader.next_call()
        taken += [event for event in events[:-1][:stops_at] if reader.take(event) is not None]
    reader.next_call()
    taken += [event for event in events if reader.take(event) is not None]
    assert taken == events
    assert reader.ended


def test_an_engine_that_stops_is_asked_again(client: Client, server: ScriptedSpeech) -> None:
    stopped = failing(grpc.StatusCode.UNAVAILABLE, "ENGINE_STOPPED", "it ended", retry_after=0.001)
    server.speeches.append([*spoken(server.add_conversion("hello world"))[:3], stopped])
    assert heard(list(client.stream_synthesize("hello world"))) == HELLO
    server.speeches += [[stopped]] * 5
    with pytest.raises(Unavailable) as caught:
        list(client.stream_synthesize("hello world"))
    assert caught.value.reason == "ENGINE_STOPPED"


def test_audio_is_downloaded_whole_across_broken_connections(
    client: Client, server: ScriptedSpeech, tmp_path: Path
) -> None:
    whole = pieces(HELLO)
    server.downloads += ([*whole[:2], BROKEN], pieces(HELLO, 24))
    with client.download_audio("any") as chunks:
        assert b"".join(chunks) == HELLO
    assert (chunks.content_type, chunks.total_bytes) == ("audio/mpeg", len(HELLO))
    file = tmp_path / "hello.mp3"
    server.downloads.append([*whole[:-1], pieces(b"x")[-1]])
    with pytest.raises(BrokenDownload, match="conversion any"):
        client.save_audio("any", file)
    assert list(tmp_path.iterdir()) == []
    client.save_audio(server.add_conversion("hello world").conversion_id, file)
    assert file.read_bytes() == HELLO
    calls = len(server.calls)
    with pytest.raises(FileNotFoundError):
        client.save_audio("any", tmp_path / "none" / "hello.mp3")
    assert len(server.calls) == calls


def test_an_anonymous_caller_needs_the_token(server: ScriptedSpeech) -> None:
    with Client(server.address, retries=QUICK) as client:
        made = client.synthesize("hello world")
        assert client.get_conversion(made.conversion_id, owner_token=made.owner_token).text == "hello world"
        assert b"".join(client.download_audio(made.conversion_id, owner_token=OWNER_TOKEN)) == HELLO
        with pytest.raises(NotFound):
            client.get_conversion(made.conversion_id)


def test_conversions_are_listed_and_removed(client: Client, server: ScriptedSpeech) -> None:
    for number in range(5):
        server.add_conversion(str(number))
    assert [each.text for each in client.list_conversions(page_size=2, skip=1)] == list("3210")
    server.loses.add("DeleteConversion")
    client.delete_conversion(server.conversions[0].conversion_id)
    assert len(server.conversions) == 4
    server.voices.append(speech_pb2.Voice(name="Ana", language="es"))
    assert [each.name for each in client.list_voices(language="es", model="m")] == ["Ana"]
    assert (sent(server, "ListVoices").language, sent(server, "ListVoices").model) == ("es", "m")


async def test_the_asynchronous_client_does_the_same(server: ScriptedSpeech, tmp_path: Path) -> None:
    async with AsyncClient(server.address, token="ak_1_secret", retries=QUICK) as client:
        made = await client.synthesize("hello world")
        assert (await client.get_conversion(made.conversion_id)).text == "hello world"
        server.speeches.append([*spoken(made)[:4], BROKEN])
        async with client.stream_synthesize("hello world") as stream:
            assert heard([each async for each in stream]) == HELLO
        assert stream.finished is not None
        server.downloads.append([*pieces(HELLO)[:2], BROKEN])
        async with client.download_audio(made.conversion_id) as chunks:
            assert b"".join([each async for each in chunks]) == HELLO
        await client.save_audio(made.conversion_id, tmp_path / "hello.mp3")
        assert (tmp_path / "hello.mp3").read_bytes() == HELLO
        assert len([each async for each in client.list_conversions(page_size=1)]) == 2
        await client.delete_conversion(made.conversion_id)
        assert list(await client.list_voices()) == []
        server.speech_models.default_model = "espeak"
        assert (await client.list_speech_models()).default_model == "espeak"
        server.speeches += [[BROKEN]] * 5
        with pytest.raises(Unreachable):
            await anext(client.stream_synthesize("hello"))


def test_every_rpc_of_speech_for_people_has_a_verb() -> None:
    paths = {
        method.path.rpartition("/")[2]
        for method in vars(_speech_calls).values()
        if isinstance(method, Method)
    }
    service = speech_pb2.DESCRIPTOR.services_by_name["SpeechService"]
    assert paths == {method.name for method in service.methods} - {"SummarizeUsage", "RedeliverUsage"}
