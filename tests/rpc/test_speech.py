"""SpeechService as its callers meet it: the real suite, espeak-ng in its worker processes, a folder of objects."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from antiphon.speech.v1 import speech_pb2

from services.capabilities.identity.providers.service import ServiceTokens
from tests.fakes.served_suite import SECRET, Person, Served, failure, somebody, until
from tests.fakes.speech_calls import (
    downloaded,
    heard,
    metered,
    objects,
    quantities,
    signal,
    spoken,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORMATS = {
    speech_pb2.AUDIO_FORMAT_WAV: ("wav", "audio/wav"),
    speech_pb2.AUDIO_FORMAT_MP3: ("mp3", "audio/mpeg"),
    speech_pb2.AUDIO_FORMAT_OGG_OPUS: ("ogg", "audio/ogg"),
    speech_pb2.AUDIO_FORMAT_FLAC: ("flac", "audio/flac"),
}


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return ("auth", "speech")


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_conversion_is_told_stored_and_downloads_as_it_was_made(
    suite: Served, ana: Person, format_: speech_pb2.AudioFormat
) -> None:
    ending, content_type = FORMATS[format_]
    made = await spoken(suite, ana, "  Guten Tag, ihr Lieben.\n", language="de", format=format_)
    assert (made.text, made.user_id, made.format) == ("Guten Tag, ihr Lieben.", ana.user_id, format_)
    assert (made.model, made.voice, made.language) == ("espeak-ng", "de", "de")
    assert (made.character_count, made.speaking_rate, made.pitch) == (22, 1, 0)
    folder = f"requests/{made.create_time.ToDatetime():%Y/%m/%d}/{made.conversion_id}"
    assert made.s3_key == f"{folder}/audio/original.{ending}"
    assert {key for key in objects(suite) if made.conversion_id in key} == {
        f"{folder}/input.json",
        f"{folder}/record.json",
        made.s3_key,
    }
    assert made.audio_url == f"antiphon://speech/conversions/{made.conversion_id}/audio"
    found = await suite.speech.GetConversion(
        speech_pb2.GetConversionRequest(conversion_id=made.conversion_id.upper()), metadata=ana.metadata
    )
    assert found.conversion == made
    data, messages = await downloaded(suite, ana, made.conversion_id)
    assert hashlib.sha256(data).hexdigest() == made.sha256 == messages[-1].sha256
    assert len(data) == made.file_size_bytes == messages[0].total_bytes
    assert messages[0].content_type == content_type
    samples, rate = signal(data)
    assert abs(len(samples) / rate - made.duration_seconds) <= 0.02
    assert abs(samples).max() > 0.05


async def test_the_row_is_the_one_that_other_programs_know(suite: Served, ana: Person) -> None:
    request_id = str(uuid.uuid4())
    made = await spoken(suite, ana, "Hola", language="es", request_id=request_id)
    nobodys = await spoken(suite, None, "Hola", language="es")
    rows = await suite.rows(
        "select user_id, text, audio_url, model, voice, language, duration_seconds::float8, file_size_bytes, s3_key, s3_bucket,"
        " metadata from speech.tts_conversions where conversion_id = any(%s::uuid[]) order by id",
        [made.conversion_id, nobodys.conversion_id],
    )
    metadata = rows[0][-1]
    assert rows[0][:-1] == (
        ana.user_id,
        "Hola",
        made.audio_url,
        "espeak-ng",
        "es",
        "es",
        made.duration_seconds,
        made.file_size_bytes,
        made.s3_key,
        None,
    )
    folder = made.s3_key.removesuffix("/audio/original.wav")
    assert metadata == {
        "request_id": request_id,
        "provider": "espeak-ng",
        "latency_ms": made.metadata.latency_ms,
        "status_code": 200,
        "cost_usd": None,
        "record_key": f"{folder}/record.json",
        "input_key": f"{folder}/input.json",
    }
    assert (rows[1][0], rows[1][-1]["request_id"]) == ("anonymous", None)


async def test_anonymous_callers_have_a_token_and_nobody_else_has_anything(
    suite: Served, ana: Person, ben: Person
) -> None:
    hers, nobodys = await spoken(suite, ana), await spoken(suite, None)
    assert not hers.owner_token
    assert nobodys.owner_token
    for person, conversion, token in (
        (ben, hers, ""),
        (None, hers, nobodys.owner_token),
        (None, nobodys, ""),
        (ben, nobodys, "0" * 40),
    ):
        metadata: Any = person.metadata if person else None
        get = speech_pb2.GetConversionRequest(conversion_id=conversion.conversion_id, owner_token=token)
        refused = await failure(suite.speech.GetConversion(get, metadata=metadata))
        assert refused.what == ("NOT_FOUND", "NOT_FOUND")
        download = speech_pb2.DownloadAudioRequest(conversion_id=conversion.conversion_id, owner_token=token)
        refused = await failure(suite.speech.DownloadAudio(download, metadata=metadata))
        assert refused.what == ("NOT_FOUND", "NOT_FOUND")
    data, _ = await downloaded(suite, ben, nobodys.conversion_id, owner_token=nobodys.owner_token)
    assert hashlib.sha256(data).hexdigest() == nobodys.sha256
    delete = speech_pb2.DeleteConversionRequest(conversion_id=hers.conversion_id)
    assert (await failure(suite.speech.DeleteConversion(delete, metadata=ben.metadata))).what[
        0
    ] == "NOT_FOUND"


async def test_lists_are_ones_own_newest_first_and_deleted_ones_are_gone(
    suite: Served, ana: Person, ben: Person
) -> None:
    made = [await spoken(suite, ana, f"Number {number}.") for number in range(3)]
    await spoken(suite, ben)
    request = speech_pb2.ListConversionsRequest(page_size=2)
    first = await suite.speech.ListConversions(request, metadata=ana.metadata)
    assert [one.text for one in first.conversions] == ["Number 2.", "Number 1."]
    assert first.total_size == 3
    request.page_token = first.next_page_token
    second = await suite.speech.ListConversions(request, metadata=ana.metadata)
    assert ([one.text for one in second.conversions], second.next_page_token) == (["Number 0."], "")
    await suite.speech.DeleteConversion(
        speech_pb2.DeleteConversionRequest(conversion_id=made[0].conversion_id), metadata=ana.metadata
    )
    left = await suite.speech.ListConversions(speech_pb2.ListConversionsRequest(), metadata=ana.metadata)
    assert [one.conversion_id for one in left.conversions] == [one.conversion_id for one in made[:0:-1]]

    async def gone() -> bool:
        return not [key for key in objects(suite) if made[0].conversion_id in key]

    await until(gone)
    others = speech_pb2.ListConversionsRequest(user_id=ben.user_id)
    assert (await failure(suite.speech.ListConversions(others, metadata=ana.metadata))).what == (
        "PERMISSION_DENIED",
        "ROLE_REQUIRED",
    )
    theirs = await suite.speech.ListConversions(others, metadata=await suite.administrator())
    assert theirs.total_size == 1


async def test_the_same_request_id_is_the_same_conversion_either_way(suite: Served, ana: Person) -> None:
    request_id = str(uuid.uuid4())
    first = await heard(suite, ana, request_id=request_id)
    again = await heard(suite, ana, request_id=request_id)
    assert again.finished == first.finished
    assert [(one.offset, one.duration) for one in again.chunks] == [
        (one.offset, one.duration) for one in first.chunks
    ]
    assert [one.data for one in again.chunks[1:]] == [one.data for one in first.chunks[1:]]
    assert again.words == first.words
    data, _ = await downloaded(suite, ana, first.started.conversion_id)
    assert again.data == data
    unary = await spoken(suite, ana, first.finished.conversion.text, request_id=request_id)
    assert unary == first.finished.conversion
    assert len(await metered(suite, ana)) == 1
    other = speech_pb2.SynthesizeRequest(text="Another text.", request_id=request_id)
    refused = await failure(suite.speech.Synthesize(other, metadata=ana.metadata))
    assert refused.what == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_a_deleted_conversion_is_not_made_again_for_its_request_id(suite: Served, ana: Person) -> None:
    request_id = str(uuid.uuid4())
    made = await spoken(suite, ana, request_id=request_id)
    await suite.speech.DeleteConversion(
        speech_pb2.DeleteConversionRequest(conversion_id=made.conversion_id), metadata=ana.metadata
    )
    with_it: dict[str, Any] = {
        "text": "Hello.",
        "format": speech_pb2.AUDIO_FORMAT_WAV,
        "request_id": request_id,
    }
    unary = suite.speech.Synthesize(speech_pb2.SynthesizeRequest(**with_it), metadata=ana.metadata)
    assert (await failure(unary)).what == ("FAILED_PRECONDITION", "CONVERSION_DELETED")
    streamed = suite.speech.StreamSynthesize(
        speech_pb2.StreamSynthesizeRequest(**with_it), metadata=ana.metadata
    )
    assert (await failure(streamed)).what == ("FAILED_PRECONDITION", "CONVERSION_DELETED")


@pytest.mark.parametrize(
    ("fields", "what", "field"),
    [
        ({}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT"), "input"),
        ({"text": " \n\t "}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT"), "text"),
        ({"text": "a\0b"}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT"), "text"),
        ({"text": "a" * 100_001}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT"), "text"),
        ({"text": "a", "model": "nobody"}, ("NOT_FOUND", "MODEL_NOT_FOUND"), None),
        ({"text": "a", "model": "tts-1"}, ("FAILED_PRECONDITION", "MODEL_NOT_READY"), None),
        ({"text": "a", "voice": "nobody"}, ("NOT_FOUND", "VOICE_NOT_FOUND"), None),
        ({"text": "a", "voice": "es", "language": "ru"}, ("NOT_FOUND", "VOICE_NOT_FOUND"), None),
        ({"text": "a", "language": "tlh"}, ("NOT_FOUND", "VOICE_NOT_FOUND"), None),
        ({"text": "a", "language": "no language"}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT"), "language"),
        ({"text": "a", "speaking_rate": 3.9}, ("INVALID_ARGUMENT", "UNSUPPORTED_INPUT"), "speaking_rate"),
        ({"text": "a", "speaking_rate": 9}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT"), "speaking_rate"),
        ({"text": "a", "pitch": 19}, ("INVALID_ARGUMENT", "UNSUPPORTED_INPUT"), "pitch"),
        ({"text": "a", "model": "gtts", "pitch": 1}, ("INVALID_ARGUMENT", "UNSUPPORTED_INPUT"), "pitch"),
        (
            {"text": "a", "model": "gtts", "speaking_rate": 2},
            ("INVALID_ARGUMENT", "UNSUPPORTED_INPUT"),
            "speaking_rate",
        ),
        (
            {"ssml": "<speak>a</speak>", "model": "gtts"},
            ("INVALID_ARGUMENT", "UNSUPPORTED_INPUT"),
            "ssml",
        ),
        ({"ssml": "<speak>a"}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT"), "ssml"),
        (
            {"ssml": '<!DOCTYPE speak [<!ENTITY a SYSTEM "file:///etc/passwd">]><speak>&a;</speak>'},
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
            "ssml",
        ),
    ],
)
async def test_what_cannot_be_spoken_is_told_with_the_field(
    suite: Served, ana: Person, fields: dict[str, Any], what: tuple[str, str], field: str | None
) -> None:
    call = suite.speech.Synthesize(speech_pb2.SynthesizeRequest(**fields), metadata=ana.metadata)
    streamed = suite.speech.StreamSynthesize(
        speech_pb2.StreamSynthesizeRequest(**fields), metadata=ana.metadata
    )
    for refused in (await failure(call), await failure(streamed)):
        assert refused.what == what, refused.text
        if field is not None:
            assert refused.fields == (field,)


async def test_without_a_credential_texts_are_shorter_and_ids_are_random(suite: Served) -> None:
    long = speech_pb2.SynthesizeRequest(text="a" * 10_001)
    refused = await failure(suite.speech.Synthesize(long))
    assert (refused.what[0], refused.fields) == ("INVALID_ARGUMENT", ("text",))
    assert "log in" in refused.text
    guessed = speech_pb2.SynthesizeRequest(text="a", request_id="11111111-1111-1111-1111-111111111111")
    assert (await failure(suite.speech.Synthesize(guessed))).fields == ("request_id",)


async def test_voices_say_language_rate_and_provider_and_are_found_by_language(suite: Served) -> None:
    everybody = (await suite.speech.ListVoices(speech_pb2.ListVoicesRequest())).voices
    names = {(voice.model, voice.name) for voice in everybody}
    assert len(names) == len(everybody) > 150
    assert all(voice.sample_rate_hertz >= 8000 and voice.provider for voice in everybody)
    assert everybody[0].model == "espeak-ng"
    spanish = (await suite.speech.ListVoices(speech_pb2.ListVoicesRequest(language="ES"))).voices
    assert {voice.language for voice in spanish} >= {"es", "es-419"}
    assert all(voice.language.partition("-")[0] == "es" for voice in spanish)
    mexican = (await suite.speech.ListVoices(speech_pb2.ListVoicesRequest(language="es-419"))).voices
    assert [voice.name for voice in mexican] == ["es-419"]
    chinese = speech_pb2.ListVoicesRequest(language="zh", model="espeak-ng")
    assert {voice.language for voice in (await suite.speech.ListVoices(chinese)).voices} >= {"cmn"}
    unknown = await failure(suite.speech.ListVoices(speech_pb2.ListVoicesRequest(model="nobody")))
    assert unknown.what == ("NOT_FOUND", "MODEL_NOT_FOUND")


async def test_models_say_whether_they_are_ready_and_what_they_take(suite: Served) -> None:
    answer = await suite.speech.ListModels(speech_pb2.ListModelsRequest())
    models = {model.name: model for model in answer.models}
    assert answer.default_model == answer.models[0].name == "espeak-ng"
    espeak, openai, gtts = models["espeak-ng"], models["tts-1"], models["gtts"]
    assert (espeak.ready, espeak.takes_ssml, espeak.gives_word_timings) == (True, True, True)
    assert espeak.maximum_speaking_rate > 1 > espeak.minimum_speaking_rate
    assert (gtts.ready, gtts.maximum_pitch, gtts.takes_ssml) == (True, 0, False)
    assert not openai.ready
    assert "OPENAI_API_KEY" in openai.not_ready_reason
    assert (espeak.maximum_characters, espeak.anonymous_maximum_characters) == (100_000, 10_000)


async def test_what_was_spoken_is_metered_in_characters_and_milliseconds(suite: Served, ana: Person) -> None:
    made = await spoken(suite, ana, "Twenty characters ok")
    (event,) = await metered(suite, ana)
    assert quantities(event) == {
        "CHARACTERS": 20,
        "AUDIO_MILLISECONDS": pytest.approx(made.duration_seconds * 1000, abs=5),
    }
    assert (event.operation, event.model, event.request_id) == ("Synthesize", "espeak-ng", "")
    tokens = ServiceTokens(SECRET, "analytics")
    span = speech_pb2.SummarizeUsageRequest()
    span.start_time.FromDatetime(made.create_time.ToDatetime().replace(microsecond=0))
    span.end_time.GetCurrentTime()
    span.end_time.seconds += 1
    told = await suite.speech.SummarizeUsage(span, metadata=tokens.metadata())
    (hers,) = [one for one in told.summaries if one.user_id == ana.user_id]
    assert {one.unit: one.amount for one in hers.quantities} == {
        one.unit: one.amount for one in event.quantities
    }
    denied = await failure(suite.speech.SummarizeUsage(span, metadata=somebody().metadata))
    assert denied.what[0] == "PERMISSION_DENIED"
