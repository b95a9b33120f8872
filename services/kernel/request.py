"""The call that is being served, for whoever needs to know: log lines, servicers."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass

from services.kernel.metering import Question
from services.kernel.principal import ANONYMOUS, Principal


@dataclass(slots=True)
class Request:
    """A call in progress. `deadline` is in `time.monotonic` seconds, None when the caller set none; `address` has no port.

    `begun` says whether the call has begun something that is metered by itself, or has found what an earlier call began; a question as
    long as that is not known, and for ever when it will only be known behind the call's end.
    """

    request_id: str
    method: str
    address: str = ""
    principal: Principal = ANONYMOUS
    deadline: float | None = None
    begun: bool | Question = False

    def remaining(self) -> float | None:
        """Seconds until the caller's deadline, at least 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


_current: ContextVar[Request | None] = ContextVar("antiphon_request", default=None)


def current() -> Request:
    """The call that this task serves. Raises LookupError outside of one."""
    request = _current.get()
    if request is None:
        raise LookupError("no call is being served by this task")
    return request


def current_or_none() -> Request | None:
    """The call that this task serves, if any."""
    return _current.get()


def enter(request: Request | None) -> None:
    """Make `request` the call that this task, and tasks it creates from now on, serve."""
    _current.set(request)
