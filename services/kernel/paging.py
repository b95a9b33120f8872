"""Pages of lists: sizes, and tokens that only fit the list and the filter that they were made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.kernel.errors import InvalidArgument, Violation

DEFAULT_PAGE_SIZE = 20
MAXIMUM_PAGE_SIZE = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some entries of a list, newest first. `after` is the key of the last one when more follow, else None."""

    items: Sequence[T]
    after: str | None = None
    total_size: int = 0


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which entries: at most `size`, those that come after the key `after`, without the first `skip` of them."""

    size: int = DEFAULT_PAGE_SIZE
    after: str | None = None
    skip: int = 0


class PageTokens:
    """Makes and reads page tokens: the key of the last entry, sealed together with the list's name and filter."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def request(
        self, page_size: int, page_token: str, skip: int, list_name: str, filter_: Sequence[object]
    ) -> PageRequest:
        """The page that a caller asks for. Raises InvalidArgument for a token that was not made for this list and filter."""
        size = min(page_size or DEFAULT_PAGE_SIZE, MAXIMUM_PAGE_SIZE)
        after = self._open(page_token, list_name, filter_) if page_token else None
        return PageRequest(size=size, after=after, skip=skip)

    def token(self, after: str | None, list_name: str, filter_: Sequence[object]) -> str:
        """The token of the page after `after`; empty on the last page."""
        if after is None:
            return ""
        return (
            base64.urlsafe_b64encode(self._seal(after, list_name, filter_) + after.encode())
            .decode()
            .rstrip("=")
        )

    def _seal(self, after: str, list_name: str, filter_: Sequence[object]) -> bytes:
        sealed = json.dumps([list_name, list(filter_), after], separators=(",", ":")).encode()
        return hmac.digest(self._key, sealed, hashlib.sha256)[:16]

    def _open(self, token: str, list_name: str, filter_: Sequence[object]) -> str:
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            after = raw[16:].decode()
        except (binascii.Error, ValueError):
            raise _foreign() from None
        if not hmac.compare_digest(raw[:16], self._seal(after, list_name, filter_)):
            raise _foreign()
        return after


def _foreign() -> InvalidArgument:
    text = "is not a token of this list with this filter; start again without one"
    return InvalidArgument(
        f"page_token: {text}", reason="INVALID_PAGE_TOKEN", violations=[Violation("page_token", text)]
    )
