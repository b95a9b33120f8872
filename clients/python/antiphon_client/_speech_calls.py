"""The RPCs of Speech for people as values."""

from __future__ import annotations

from typing import TypedDict

from antiphon.speech.v1 import speech_pb2

from antiphon_client._calls import Call, call, method_of, new_request_id

_SPEECH = speech_pb2.DESCRIPTOR.services_by_name["SpeechService"]

SYNTHESIZE = method_of(_SPEECH, "Synthesize", speech_pb2.SynthesizeRequest, speech_pb2.SynthesizeResponse)
STREAM_SYNTHESIZE = method_of(
    _SPEECH, "StreamSynthesize", speech_pb2.StreamSynthesizeRequest, speech_pb2.StreamSynthesizeResponse
)
GET_CONVERSION = method_of(
    _SPEECH, "GetConversion", speech_pb2.GetConversionRequest, speech_pb2.GetConversionResponse
)
DOWNLOAD_AUDIO = method_of(
    _SPEECH, "DownloadAudio", speech_pb2.DownloadAudioRequest, speech_pb2.DownloadAudioResponse
)
LIST_CONVERSIONS = method_of(
    _SPEECH, "ListConversions", speech_pb2.ListConversionsRequest, speech_pb2.ListConversionsResponse
)
DELETE_CONVERSION = method_of(
    _SPEECH, "DeleteConversion", speech_pb2.DeleteConversionRequest, speech_pb2.DeleteConversionResponse
)
LIST_VOICES = method_of(_SPEECH, "ListVoices", speech_pb2.ListVoicesRequest, speech_pb2.ListVoicesResponse)
LIST_MODELS = method_of(_SPEECH, "ListModels", speech_pb2.ListModelsRequest, speech_pb2.ListModelsResponse)


class SpeechOptions(TypedDict, total=False):
    """What `synthesize` and `stream_synthesize` take beside the text, or with `ssml` in its place; the fields of SynthesizeRequest, where they are
    explained.

    `request_id`, a UUID, is made when not given; give one to make a call again from another process. `timeout` is for all of it, in
    seconds, tries and pauses included.
    """

    ssml: str
    voice: str
    language: str
    model: str
    audio_format: speech_pb2.AudioFormat
    speaking_rate: float
    pitch: float
    request_id: str
    timeout: float | None


class _SpeechFields(TypedDict, total=False):
    request_id: str
    text: str
    ssml: str
    voice: str
    language: str
    model: str
    format: speech_pb2.AudioFormat
    speaking_rate: float
    pitch: float


def synthesize(
    text: str, options: SpeechOptions
) -> Call[speech_pb2.SynthesizeRequest, speech_pb2.SynthesizeResponse]:
    """Synthesize, safe to repeat; what the provider has been asked for in vain is not asked for again."""
    fields = _fields(text, options)
    request = speech_pb2.SynthesizeRequest(**fields)
    return call(SYNTHESIZE, request, fields["request_id"])


def stream_synthesize(
    text: str, options: SpeechOptions
) -> Call[speech_pb2.StreamSynthesizeRequest, speech_pb2.StreamSynthesizeResponse]:
    """StreamSynthesize, safe to repeat as Synthesize is."""
    fields = _fields(text, options)
    request = speech_pb2.StreamSynthesizeRequest(**fields)
    return call(STREAM_SYNTHESIZE, request, fields["request_id"])


def download_audio(
    conversion_id: str, owner_token: str
) -> Call[speech_pb2.DownloadAudioRequest, speech_pb2.DownloadAudioResponse]:
    """DownloadAudio."""
    request = speech_pb2.DownloadAudioRequest(conversion_id=conversion_id, owner_token=owner_token)
    return call(DOWNLOAD_AUDIO, request)


def _fields(text: str, options: SpeechOptions) -> _SpeechFields:
    ssml = options.get("ssml", "")
    if bool(text) == bool(ssml):
        raise TypeError("what to speak is either a text or ssml")
    fields = _SpeechFields(
        request_id=options.get("request_id") or new_request_id(),
        voice=options.get("voice", ""),
        language=options.get("language", ""),
        model=options.get("model", ""),
        format=options.get("audio_format", speech_pb2.AUDIO_FORMAT_UNSPECIFIED),
        speaking_rate=options.get("speaking_rate", 0.0),
        pitch=options.get("pitch", 0.0),
    )
    if ssml:
        fields["ssml"] = ssml
    else:
        fields["text"] = text
    return fields
