"""What callers ask for, as values. Form has been checked by the contract's rules."""

from __future__ import annotations

from antiphon.speech.v1 import speech_pb2

from services.capabilities.claims.model import body_digest
from services.kernel.errors import InvalidArgument
from services.speech.model import Format, SpeechCall

_NUL = "holds a NUL character, which can't be kept; leave it out"
_FORMATS = {
    speech_pb2.AUDIO_FORMAT_UNSPECIFIED: Format.MP3,
    speech_pb2.AUDIO_FORMAT_WAV: Format.WAV,
    speech_pb2.AUDIO_FORMAT_MP3: Format.MP3,
    speech_pb2.AUDIO_FORMAT_OGG_OPUS: Format.OGG_OPUS,
    speech_pb2.AUDIO_FORMAT_FLAC: Format.FLAC,
}


def speech_call(
    request: speech_pb2.SynthesizeRequest | speech_pb2.StreamSynthesizeRequest,
    operation: str,
    digest_key: bytes,
) -> SpeechCall:
    """A call by either way; `digest_key` keys the digest of its body, which is the same for both. Raises InvalidArgument for texts that can't be
    kept."""
    for field in ("text", "ssml"):
        if "\0" in getattr(request, field):
            raise InvalidArgument.field(field, _NUL)
    return SpeechCall(
        operation=operation,
        request_id=request.request_id.lower(),
        digest=_digest(request, digest_key),
        text=request.text,
        ssml=request.ssml,
        voice=request.voice,
        language=request.language,
        model=request.model,
        format=_FORMATS[request.format],
        rate=request.speaking_rate,
        pitch=request.pitch,
    )


def _digest(request: speech_pb2.SynthesizeRequest | speech_pb2.StreamSynthesizeRequest, key: bytes) -> bytes:
    """What identifies the body."""
    if not request.request_id:
        return b""
    # Both ways have the same fields.
    body = speech_pb2.SynthesizeRequest.FromString(request.SerializeToString())
    body.ClearField("request_id")
    # To say nothing is to say the default.
    body.speaking_rate = body.speaking_rate or 1.0
    body.format = body.format or speech_pb2.AUDIO_FORMAT_MP3
    return body_digest(key, body.SerializeToString(deterministic=True))
