"""The failures of Chat; those of models are in `services.capabilities.upstream.errors`.

NotFound ─────────── ModelNotFound
FailedPrecondition ─ EventsPruned, ImageServiceUnknown
InvalidArgument ──── ContextTooLong, ImageUnreachable
ResourceExhausted ── AnswerTooLong, SearchesOverloaded, PicturesOverloaded
Aborted ──────────── GenerationInterrupted
OutOfRange ───────── SeqOutOfRange
"""

from __future__ import annotations

from services.kernel import errors
from services.kernel.errors import Resource, Violation


class ModelNotFound(errors.NotFound):
    """No model of this name is in the catalog."""

    reason = "MODEL_NOT_FOUND"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"no model is called {model!r}; ListModels tells which there are",
            metadata={"model": model},
            resource=Resource("chat.model", model),
        )


class ContextTooLong(errors.InvalidArgument):
    """The input alone is longer than the model's context window."""

    reason = "CONTEXT_TOO_LONG"

    def __init__(self, model: str, context_tokens: int) -> None:
        super().__init__(
            f"the input is longer than the {context_tokens} tokens that {model!r} can read; shorten it",
            metadata={"model": model, "context_tokens": str(context_tokens)},
        )


class ImageUnreachable(errors.InvalidArgument):
    """A picture that the caller named can't be shown; `field` is where it was named."""

    reason = "IMAGE_UNREACHABLE"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(
            f"{field}: the picture can't be shown: {detail}",
            metadata={"detail": detail},
            violations=[Violation(field, f"can't be shown: {detail}")],
        )


class ImageServiceUnknown(errors.FailedPrecondition):
    """An image is named by its id, and nobody has said where the image service is."""

    reason = "SERVICE_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(
            "images can't be looked up: the image service is neither in this process, nor is its address set (ANTIPHON_PEERS__IMAGE)",
            metadata={"service": "text_to_image"},
        )


class PicturesOverloaded(errors.ResourceExhausted):
    """As many pictures are being fetched, or held for models, as the process has room for."""

    def __init__(self) -> None:
        super().__init__(
            "too many pictures are being shown at once; try again shortly",
            metadata={"queue": "pictures"},
            retry_after=2.0,
        )


class AnswerTooLong(errors.ResourceExhausted):
    """The answer grew past what the server keeps of one generation."""

    reason = "TOO_LONG"

    def __init__(self, generation_id: str, limit_bytes: int) -> None:
        super().__init__(
            f"the answer grew past {limit_bytes} bytes and was ended; what was made so far is on record",
            metadata={"generation_id": generation_id},
        )


class SearchesOverloaded(errors.ResourceExhausted):
    """More searches wait than the queue takes, or one took too long."""

    reason = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__(
            "too many searches at once; try again shortly", metadata={"queue": "searches"}, retry_after=2.0
        )


class GenerationInterrupted(errors.Aborted):
    """The server that ran the generation stopped or died."""

    reason = "GENERATION_INTERRUPTED"

    def __init__(self, generation_id: str) -> None:
        super().__init__(
            "the server stopped while it made this answer; what was made so far is on record",
            metadata={"generation_id": generation_id},
        )


class SeqOutOfRange(errors.OutOfRange):
    """`after_seq` is past the record's end, or was never the end of an event."""

    reason = "SEQ_OUT_OF_RANGE"

    def __init__(self, generation_id: str, after_seq: int, last_seq: int) -> None:
        super().__init__(
            f"after_seq: {after_seq} is no position of this record, whose last one is {last_seq}; give the seq of an event that was received",
            metadata={"generation_id": generation_id, "last_seq": str(last_seq)},
        )


class EventsPruned(errors.FailedPrecondition):
    """The events are gone, and the position can't be found in the message."""

    reason = "EVENTS_PRUNED"

    def __init__(self, generation_id: str) -> None:
        super().__init__(
            "the events of this generation have been pruned; resume with after_seq 0, or read it with GetGeneration",
            metadata={"generation_id": generation_id},
        )
