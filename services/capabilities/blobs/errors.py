"""How the object store fails.

Unavailable ─ StoreAway, StoreFull, StoreBusy, StoreRefuses ─ NoSuchBucket
"""

from __future__ import annotations

from services.kernel import errors


class StoreUnavailable(errors.Unavailable):
    """The object store does not do what it is asked. The message says what is wrong and names nothing of the deployment, `advice` tells its
    operator what to do."""

    advice: str = ""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice or self.advice


class StoreAway(StoreUnavailable):
    """It can't be reached, does not answer in time, or failed; it may come back by itself."""

    advice = "Start the object store, or correct the settings that begin with ANTIPHON_BLOBS__."


class StoreRefuses(StoreUnavailable):
    """It refuses us, which stays so until somebody changes something."""


class NoSuchBucket(StoreRefuses):
    """The bucket is not there."""

    advice = "Restart the suite, which makes the bucket, or correct S3_BUCKET."


class StoreFull(StoreUnavailable):
    """There is no room for another object."""

    advice = "Make room where the objects are, or move them to a larger place."


class StoreBusy(StoreUnavailable):
    """More calls wait for it than may."""
