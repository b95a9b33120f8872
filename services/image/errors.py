"""The failures of Image; those of models are in `services.capabilities.upstream.errors`, those of calls in
`services.capabilities.generations.errors`.

NotFound ─────────── ModelNotFound
FailedPrecondition ─ ImagesDeleted
ResourceExhausted ── CodecsOverloaded
Unavailable ──────── ImageUnusable, NotStored
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
            resource=Resource("image.model", model),
        )


class ImageUnusable(ProviderFailure, errors.Unavailable):
    """What a provider sent is no image that can be kept; `detail` is `format`, `truncated`, `pixels`, `bytes` or `address`."""

    reason = "IMAGE_UNUSABLE"

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message, metadata={"detail": detail})


class NotStored(errors.Unavailable):
    """The images were made, and the object store did not take them."""

    reason = "IMAGES_NOT_STORED"

    def __init__(self) -> None:
        super().__init__("the images were made and can't be stored now; nothing was used, try again later")


class CodecsOverloaded(errors.ResourceExhausted):
    """More images wait to be converted than the queue takes."""

    def __init__(self) -> None:
        super().__init__(
            "too many images are being converted at once; try again shortly",
            metadata={"queue": "codecs"},
            retry_after=2.0,
        )


class ImagesDeleted(errors.FailedPrecondition):
    """What an earlier call with this request_id made is gone."""

    reason = "IMAGES_DELETED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "the images that this request_id stands for were deleted; make a new request_id for new ones",
            metadata={"request_id": request_id},
        )
