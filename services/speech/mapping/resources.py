"""Conversions, voices, models and sums, as the contract has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from antiphon.speech.v1 import speech_pb2

from services.capabilities.metering.mapping import quantities_to_proto
from services.capabilities.metering.model import UsageSummary
from services.speech.generation.objects import AUDIO_URL, keys_of
from services.speech.model import Conversion, Format, Voice
from services.speech.ports import CatalogModel

if TYPE_CHECKING:
    from antiphon.usage.v1 import usage_pb2

FORMATS = {
    Format.WAV: speech_pb2.AUDIO_FORMAT_WAV,
    Format.MP3: speech_pb2.AUDIO_FORMAT_MP3,
    Format.OGG_OPUS: speech_pb2.AUDIO_FORMAT_OGG_OPUS,
    Format.FLAC: speech_pb2.AUDIO_FORMAT_FLAC,
}


def conversion_to_proto(conversion: Conversion, owner_token: str = "") -> speech_pb2.Conversion:
    """A conversion of the table."""
    keys = keys_of(conversion)
    made = speech_pb2.Conversion(
        conversion_id=conversion.conversion_id,
        user_id=conversion.user_id,
        text=conversion.text,
        ssml=conversion.ssml,
        audio_url=AUDIO_URL.format(conversion_id=conversion.conversion_id),
        model=conversion.model,
        voice=conversion.voice,
        language=conversion.language,
        duration_seconds=conversion.duration_seconds,
        file_size_bytes=conversion.file_size_bytes,
        s3_key=keys.audio,
        s3_bucket=conversion.s3_bucket,
        metadata=speech_pb2.ConversionMetadata(
            request_id=conversion.request_id,
            provider=conversion.provider,
            latency_ms=conversion.latency_ms,
            status_code=200,
            cost_usd=conversion.cost_usd,
            record_key=keys.record,
            input_key=keys.input,
        ),
        owner_token=owner_token,
        format=FORMATS[conversion.format],
        sample_rate_hertz=conversion.sample_rate,
        speaking_rate=conversion.rate,
        pitch=conversion.pitch,
        character_count=conversion.characters,
        sha256=conversion.sha256,
    )
    made.create_time.FromDatetime(conversion.create_time)
    return made


def voice_to_proto(model: CatalogModel, voice: Voice) -> speech_pb2.Voice:
    """A voice of a model."""
    return speech_pb2.Voice(
        name=voice.name,
        display_name=voice.display_name,
        language=voice.language,
        sample_rate_hertz=voice.sample_rate,
        provider=model.provider_name,
        model=model.name,
        gender=cast("speech_pb2.VoiceGender", voice.gender.value),
    )


def model_to_proto(model: CatalogModel, most: int, anonymous_most: int) -> speech_pb2.Model:
    """An entry of the catalog; `most` and `anonymous_most` are the characters of a text."""
    made = speech_pb2.Model(
        name=model.name,
        provider=model.provider_name,
        display_name=model.display_name,
        description=model.description,
        ready=model.ready,
        not_ready_reason=model.not_ready_reason,
        minimum_speaking_rate=model.rates[0],
        maximum_speaking_rate=model.rates[1],
        minimum_pitch=model.pitches[0],
        maximum_pitch=model.pitches[1],
        takes_ssml=model.takes_ssml,
        gives_word_timings=model.gives_word_timings,
        maximum_characters=most,
        anonymous_maximum_characters=min(most, anonymous_most),
        default_voice=model.default_voice,
        prices=[
            speech_pb2.ModelPrice(unit=cast("usage_pb2.Unit", unit.value), nano_usd_per_million=price)
            for unit, price in model.prices.items()
        ],
    )
    made.timeout.FromNanoseconds(round(model.timeout * 1_000_000_000))
    return made


def summary_to_proto(summary: UsageSummary) -> speech_pb2.UsageSummary:
    """What some calls add up to."""
    return speech_pb2.UsageSummary(
        user_id=summary.user_id,
        model=summary.model,
        status=cast("usage_pb2.UsageStatus", summary.status.value),
        event_count=summary.event_count,
        quantities=quantities_to_proto(summary.quantities),
    )
