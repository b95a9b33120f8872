"""What an S3 server's answer means, in our own failures.

What the client's errors say is never passed on: it holds addresses, and for some servers the access key.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from services.capabilities.blobs.errors import (
    NoSuchBucket,
    StoreAway,
    StoreBusy,
    StoreFull,
    StoreRefuses,
    StoreUnavailable,
)

_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_STATUS = re.compile(r"status code: (\d{3})")

_REGION = (
    "The bucket of the object store is in another region.",
    "Correct ANTIPHON_BLOBS__S3_REGION.",
)
_DENIED = (
    "The object store denies access to the bucket.",
    "Let the owner of S3_ACCESS_KEY list the bucket, and read, write and delete its objects, or name another one in S3_BUCKET.",
)
_REFUSALS = {
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AuthorizationHeaderMalformed": _REGION,
    "BucketAlreadyExists": (
        "The bucket of the object store belongs to somebody else.",
        "Choose another name for it in S3_BUCKET.",
    ),
    "IllegalLocationConstraintException": _REGION,
    "InvalidAccessKeyId": ("The object store does not know the access key.", "Correct S3_ACCESS_KEY."),
    "InvalidBucketName": ("The object store takes no bucket of this name.", "Correct S3_BUCKET."),
    "InvalidLocationConstraint": _REGION,
    "NotImplemented": (
        "The object store can't do what it is asked.",
        "It needs to know conditional writes (If-Match, If-None-Match); use a newer or another server.",
    ),
    "PermanentRedirect": _REGION,
    "RequestTimeTooSkewed": (
        "The clocks of this machine and of the object store differ too much.",
        "Set the clocks of both by NTP.",
    ),
    "SignatureDoesNotMatch": ("The object store does not accept the secret key.", "Correct S3_SECRET_KEY."),
}
_FULL = (
    "InsufficientStorage",
    "QuotaExceeded",
    "StorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
)
_BUSY = (
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "TooManyRequests",
)
_TRANSPORT = (
    ("dns error", "The name of the object store's host can't be resolved.", "Correct S3_ENDPOINT, or the name service."),
    ("Connection refused", "Nobody listens at the address of the object store.", ""),
    ("certificate", "The certificate of the object store can't be trusted.", "Correct it, or S3_ENDPOINT."),
    ("InvalidContentType", "The object store does not speak TLS at this address.", "Begin S3_ENDPOINT with http://."),
    ("incorrectly configured region", *_REGION),
)  # fmt: skip


class NoSuchObject(Exception):
    """There is none under this key."""


class Unmet(Exception):
    """The condition of a write does not hold, or can't be told since another write is under way: nothing was written by this one."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """The client's errors as NoSuchObject, Unmet, and what `blobs.errors` has."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        raise failure_of(str(error)) from None


def failure_of(said: str, status: int = 0) -> NoSuchObject | Unmet | StoreUnavailable:
    """What an answer means, by its text and, where the text does not hold it, its status."""
    if found := _STATUS.search(said):
        status = int(found[1])
    code = found[1] if (found := _CODE.search(said)) else ""
    if code == "NoSuchKey":
        return NoSuchObject()
    if code == "NoSuchBucket":
        return NoSuchBucket("The bucket of the object store is not there.")
    if status == 412 or code in ("PreconditionFailed", "ConditionalRequestConflict"):
        return Unmet()
    if refusal := _REFUSALS.get(code):
        return StoreRefuses(*refusal)
    if code in _FULL or status == 507:
        return StoreFull("The object store is full.")
    if code in _BUSY or status in (429, 503):
        return StoreBusy("The object store has too much to do; try again.")
    return _by_status(status, code) if status else _by_transport(said)


def _by_status(status: int, code: str) -> StoreUnavailable:
    named = f"{status} {code}".rstrip()
    if status in (401, 403):
        return StoreRefuses(*_DENIED)
    if status < 500:
        return StoreRefuses(
            f"The object store refuses a request ({named}).",
            "Look whether S3_ENDPOINT is the address of an S3 server's API, and at its log.",
        )
    return StoreAway(f"The object store failed ({named}).", "Look at its log.")


def _by_transport(said: str) -> StoreAway:
    for mark, message, advice in _TRANSPORT:
        if mark in said:
            return StoreAway(message, advice)
    if "HTTP error" in said:
        return StoreAway("The object store can't be reached.")
    return StoreAway("The object store's answer can't be understood.", "Look at its log.")
