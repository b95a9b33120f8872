"""The failures of Chat.

NotFound ─────────── ModelNotFound
FailedPrecondition ─ ModelNotReady, ProviderRefused, ProviderCredential, ProviderModelGone, EventsPruned
InvalidArgument ──── UnsupportedInput, ContextTooLong
ResourceExhausted ── ProviderRateLimited, AnswerTooLong, SearchesOverloaded
Unavailable ──────── ProviderUnavailable, ProviderProtocol
DeadlineExceeded ─── ProviderTimeout
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


class ModelNotReady(errors.FailedPrecondition):
    """The model is in the catalog and something is missing, such as a key."""

    reason = "MODEL_NOT_READY"

    def __init__(self, model: str, detail: str) -> None:
        super().__init__(
            f"the model {model!r} is not ready: {detail}", metadata={"model": model, "detail": detail}
        )


class UnsupportedInput(errors.InvalidArgument):
    """The model, or the server, can't take this kind of input."""

    reason = "UNSUPPORTED_INPUT"

    def __init__(self, field: str, description: str, model: str = "") -> None:
        metadata = {"model": model} if model else {}
        super().__init__(
            f"{field}: {description}", metadata=metadata, violations=[Violation(field, description)]
        )


class ContextTooLong(errors.InvalidArgument):
    """The input alone is longer than the model's context window."""

    reason = "CONTEXT_TOO_LONG"

    def __init__(self, model: str, context_tokens: int) -> None:
        super().__init__(
            f"the input is longer than the {context_tokens} tokens that {model!r} can read; shorten it",
            metadata={"model": model, "context_tokens": str(context_tokens)},
        )


class ProviderFailure(errors.ServiceError):
    """A failure of a model's call, with what its caller is not told.

    `upstream_request_id` is the provider's own name of the call, `said` its words in short, both for the log. `asked_pause` is for how
    many seconds the provider asked to be left alone; None when it did not.
    """

    upstream_request_id: str = ""
    said: str = ""
    asked_pause: float | None = None


class ProviderRefused(ProviderFailure, errors.FailedPrecondition):
    """The provider refused the request as such."""

    reason = "PROVIDER_REFUSED"


class ProviderCredential(ProviderFailure, errors.FailedPrecondition):
    """The provider did not accept the deployment's key."""

    reason = "PROVIDER_CREDENTIAL"


class ProviderModelGone(ProviderFailure, errors.FailedPrecondition):
    """The provider does not have the model, or nothing is at its address."""

    reason = "MODEL_NOT_READY"


class ProviderRateLimited(ProviderFailure, errors.ResourceExhausted):
    """The provider limits the deployment."""

    reason = "PROVIDER_RATE_LIMITED"


class ProviderUnavailable(ProviderFailure, errors.Unavailable):
    """The provider can't be reached, failed, or closed its answer early."""

    reason = "PROVIDER_UNAVAILABLE"


class ProviderProtocol(ProviderFailure, errors.Unavailable):
    """The provider sent what is not its protocol."""

    reason = "PROVIDER_PROTOCOL"


class ProviderTimeout(ProviderFailure, errors.DeadlineExceeded):
    """The provider was silent for too long; metadata `stage` says when."""

    reason = "PROVIDER_TIMEOUT"


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
