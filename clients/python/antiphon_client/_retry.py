"""When a failed call is tried again, and after what pause. Decides; never waits."""

from __future__ import annotations

import math
import random
import time

from grpc import StatusCode

from antiphon_client._options import Retries
from antiphon_client.errors import (
    AntiphonError,
    Closed,
    DeadlineExceeded,
    NotFound,
    ResourceExhausted,
    ServerError,
    Unavailable,
)

TRANSIENT = (Unavailable, ResourceExhausted, DeadlineExceeded, ServerError)
"""Failures that say nothing against a token: one that still lives is used on."""

RENEWS = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_REVOKED"})
"""Why a token is refused that a renewal may help with. A revoked one, too: a person whose role has changed gets a new one, and a
session that has ended says so when it is renewed. An invalid one, because its signing key may have been dropped since it was signed."""

# These end a generation. One whose events have begun to arrive can't be begun anew beneath its reader.
_ENDS_A_GENERATION = frozenset(
    {
        "GENERATION_INTERRUPTED",
        "PROVIDER_PROTOCOL",
        "PROVIDER_RATE_LIMITED",
        "PROVIDER_TIMEOUT",
        "PROVIDER_UNAVAILABLE",
        "TOO_LONG",
    }
)
_ASKS_TO_COME_AGAIN = frozenset({StatusCode.RESOURCE_EXHAUSTED, StatusCode.ABORTED, StatusCode.UNAVAILABLE})
# What a stream shows when its connection, and not its server, gave up; the server's own failures carry a reason.
_BROKEN_STREAM = frozenset(
    {StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.INTERNAL, StatusCode.UNKNOWN}
)
_BROKEN_CALL = frozenset({StatusCode.UNAVAILABLE, StatusCode.CANCELLED})


class Deadline:
    """The end of a call's time, tries and pauses included."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None or math.isinf(timeout) else time.monotonic() + timeout

    def remaining(self) -> float | None:
        """Seconds left, 0 at least; None for no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def within(self, limit: float) -> float:
        """Seconds left, at most `limit`."""
        remaining = self.remaining()
        return limit if remaining is None else min(limit, remaining)


class Attempts:
    """The tries of one call, or of a stream since its last event."""

    def __init__(
        self,
        retries: Retries,
        deadline: Deadline,
        *,
        repeatable: bool,
        final: tuple[str, ...] = (),
        stream: bool = False,
    ) -> None:
        """Failures whose reason begins as one of `final` are not repeated."""
        self._retries = retries
        self._deadline = deadline
        self._repeatable = repeatable
        self._final = final
        self._stream = stream
        self._first: AntiphonError | None = None
        self._failed = 0
        self._begun = False
        self._may_be_done = False

    @property
    def failed(self) -> int:
        """How many tries have failed, of a stream since its last event."""
        return self._failed

    def progressed(self) -> None:
        """Something new has arrived, so the count of tries starts again."""
        self._failed, self._first = 0, None
        self._begun = True

    def after(self, failure: AntiphonError) -> float:
        """The pause before the next try, in seconds. Raises `failure` when there is none, with what the first try met."""
        self._failed += 1
        self._first = self._first or failure
        # A stream that has shown nothing yet is a call like any other: whoever waits wants to know soon that nobody answers.
        limit = self._retries.resume_attempts if self._begun else self._retries.attempts
        if not self._repeatable or self._failed >= limit or not self._may_pass(failure):
            raise self._told(failure)
        pause = min(self._retries.first_delay * 2.0 ** (self._failed - 1), self._retries.max_delay)
        pause *= 1 - random.random() / 2  # noqa: S311 - spreads callers out; nothing is secret about it.
        if failure.retry_after is not None:
            pause = max(pause, failure.retry_after)
        remaining = self._deadline.remaining()
        if remaining is not None and remaining <= pause:
            raise self._told(failure)
        # A limit is told before anything is done; of every other failure that may pass the server may have done its part.
        self._may_be_done = self._may_be_done or not isinstance(failure, ResourceExhausted)
        return pause

    def removed(self, failure: AntiphonError) -> bool:
        """Whether a call that removes something has done so: it is gone, and an earlier try, whose answer got lost, may be why."""
        return self._may_be_done and isinstance(failure, NotFound)

    def _told(self, failure: AntiphonError) -> AntiphonError:
        if self._first is not None and self._first.message != failure.message:
            failure.earlier = self._first
            failure.add_note(f"The first try met something else: {self._first}")
        return failure

    def _may_pass(self, failure: AntiphonError) -> bool:
        if isinstance(failure, Closed) or failure.reason.startswith(self._final):
            return False
        if failure.retry_after is not None and failure.retry_after > self._retries.max_delay:
            return False
        if not failure.reason:
            return failure.code in (_BROKEN_STREAM if self._stream else _BROKEN_CALL)
        if self._begun and failure.reason in _ENDS_A_GENERATION:
            return False
        if failure.code is StatusCode.UNAVAILABLE:
            return True
        return failure.retry_after is not None and failure.code in _ASKS_TO_COME_AGAIN
