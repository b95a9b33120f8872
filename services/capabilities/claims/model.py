"""What is claimed: an idempotency key of a caller, for one body."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass

DIGEST_BYTES = 32


def body_digest(key: bytes, body: bytes) -> bytes:
    """HMAC-SHA256 of a request's body, 32 bytes.

    The key is derived from the deployment's secret, so that nobody who reads the table alone can try out bodies, such as
    passwords, against it.
    """
    return hmac.digest(key, body, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class Claim:
    """A caller's `request_id` together with the digest of the body that it came with.

    `caller` tells callers apart, by user id or, for anonymous callers, by what is called. `request_id` is a UUID in any
    spelling and is kept in the canonical one.
    """

    caller: str
    request_id: str
    digest: bytes

    def __post_init__(self) -> None:
        if not self.caller:
            raise ValueError("a claim has a caller")
        if len(self.digest) != DIGEST_BYTES:
            raise ValueError(f"a claim's digest has {DIGEST_BYTES} bytes")
        object.__setattr__(self, "request_id", str(uuid.UUID(self.request_id)))
