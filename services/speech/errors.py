"""The failures of Speech; those of models are in `services.capabilities.upstream.errors`, those of calls in
`services.capabilities.generations.errors`.

NotFound ─────────── ModelNotFound, VoiceNotFound
FailedPrecondition ─ ConversionDeleted
ResourceExhausted ── EngineBusy, SpoolFull, AudioTooLong
Unavailable ──────── EngineStopped, AudioUnusable, NotStored
"""

from __future__ import annotations

from services.capabilities.upstream.errors import ProviderFailure
from services.kernel import errors
from services.kernel.errors import Resource


class ModelNotFound(errors.NotFound):
    """No model of this name is in the catalog."""

    reason = "MODEL_NOT_FOUND"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"no model is called {model!r}; ListModels tells which there are",
            metadata={"model": model},
            resource=Resource("speech.model", model),
        )


class VoiceNotFound(errors.NotFound):
    """No voice of this name is there, or none that speaks the language."""

    reason = "VOICE_NOT_FOUND"

    def __init__(self, message: str, voice: str, language: str) -> None:
        super().__init__(
            f"{message}; ListVoices tells which there are",
            metadata={"voice": voice, "language": language},
            resource=Resource("speech.voice", voice or language),
        )


class EngineBusy(errors.ResourceExhausted):
    """More texts wait to be spoken than the queue takes."""

    def __init__(self) -> None:
        super().__init__(
            "too many texts are being spoken at once; try again shortly",
            metadata={"queue": "engine"},
            retry_after=2.0,
        )


class SpoolFull(errors.ResourceExhausted):
    """As much audio is made or listened to at once as the process keeps."""

    def __init__(self) -> None:
        super().__init__(
            "too much audio is being made at once; try again later, or a shorter text",
            metadata={"queue": "spool"},
            retry_after=5.0,
        )


class AudioTooLong(errors.ResourceExhausted):
    """The text lasts longer than is made in one call."""

    reason = "TOO_LONG"

    def __init__(self, generation_id: str, seconds: float) -> None:
        super().__init__(
            f"this text lasts longer than {seconds / 60:g} minutes; send it in parts",
            metadata={"generation_id": generation_id},
        )


class EngineStopped(errors.Unavailable):
    """The process that spoke the text ended in the middle."""

    reason = "ENGINE_STOPPED"

    def __init__(self) -> None:
        super().__init__("the process that spoke this text ended; call again", retry_after=1.0)


class AudioUnusable(ProviderFailure, errors.Unavailable):
    """What a provider sent is no audio that can be kept; `detail` is `format`, `truncated`, `duration` or `bytes`."""

    reason = "AUDIO_UNUSABLE"

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message, metadata={"detail": detail})


class NotStored(errors.Unavailable):
    """The text was spoken, and the object store did not take the audio."""

    reason = "AUDIO_NOT_STORED"

    def __init__(self) -> None:
        super().__init__("the text was spoken and its audio can't be stored now; try again later")


class ConversionDeleted(errors.FailedPrecondition):
    """What an earlier call with this request_id made is gone."""

    reason = "CONVERSION_DELETED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "the conversion that this request_id stands for was deleted; make a new request_id for a new one",
            metadata={"request_id": request_id},
        )
