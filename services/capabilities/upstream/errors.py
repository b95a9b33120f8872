"""How a call of a model fails, whatever it makes.

FailedPrecondition ─ ModelNotReady, ProviderRefused, ProviderCredential, ProviderModelGone
InvalidArgument ──── UnsupportedInput
ResourceExhausted ── ProviderRateLimited
Unavailable ──────── ProviderUnavailable, ProviderProtocol
DeadlineExceeded ─── ProviderTimeout
"""

from __future__ import annotations

from services.kernel import errors
from services.kernel.errors import Violation


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


class ProviderFailure(errors.ServiceError):
    """A failure of a model's call, with what its caller is not told.

    `upstream_request_id` is the provider's own name of the call, `said` its words in short, or ours for how it could not be reached;
    `provider_code` is the word that it has for the failure, such as `insufficient_quota`. `asked_pause` is for how many seconds the
    provider asked to be left alone; None when it did not.
    """

    upstream_request_id: str = ""
    said: str = ""
    provider_code: str = ""
    asked_pause: float | None = None

    @property
    def loggable(self) -> str:
        """What of `said` may stand in a log. What a provider answers may repeat what people said in the request, and so may what it sends in the
        place of its protocol; but not where it has looked at the key alone (401)."""
        read = self.metadata.get("http_status", "401") != "401"
        return "" if read or isinstance(self, ProviderRefused | ProviderProtocol) else self.said


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
