"""Why something was not fetched.

Unfetched
├── NotPublic
├── TooLarge
├── FetchFailed
└── FetchTimedOut
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Unfetched(Exception):
    """It was not fetched; the text says why, without the address, which may hold secrets of whoever named it."""


class NotPublic(Unfetched):
    """The address is not of the kind that is fetched: no HTTP, credentials in it, or its host is not public alone."""


class TooLarge(Unfetched):
    """It has, or claims, more bytes than are taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it has more than {limit} bytes")
        self.limit = limit


class FetchFailed(Unfetched):
    """Nobody answered, or not as wanted. With an answer, `status` is its HTTP status, else 0; `headers` and the beginning of the `body`,
    at most 64 KiB of it, tell what was said."""

    def __init__(
        self,
        words: str,
        status: int = 0,
        headers: Mapping[str, str] = MappingProxyType({}),
        body: bytes = b"",
    ) -> None:
        super().__init__(words)
        self.status = status
        self.headers = headers
        self.body = body


class FetchTimedOut(Unfetched):
    """It took too long; `stage` is `connect` or `total`."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"it took too long ({stage})")
        self.stage = stage
