"""Refuses calls that the server can't take: while it stops, past its limit, and RPCs that are not built yet are told so last."""

from __future__ import annotations

from typing import Any

from services.kernel.errors import ResourceExhausted, Unavailable
from services.runtime.call import Call, Method, Proceed


class Admission:
    """Counts calls in progress. Not for other threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._closed_for = 0.0
        self.in_progress = 0

    def close(self, retry_after: float) -> None:
        """Refuse new calls from now on; another replica, or the next start, may take them after `retry_after` seconds."""
        self._closed_for = retry_after

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        if method.internal:
            return proceed

        async def layer(call: Call) -> Any:
            if self._closed_for:
                raise Unavailable(
                    "The server is stopping. Try again, it or another one will answer.",
                    reason="SHUTTING_DOWN",
                    retry_after=self._closed_for,
                )
            if self.in_progress >= self._limit:
                raise ResourceExhausted(
                    "The server has as many calls in progress as it takes. Try again in a moment.",
                    metadata={"queue": "calls"},
                    retry_after=1.0,
                )
            self.in_progress += 1
            try:
                return await proceed(call)
            finally:
                self.in_progress -= 1

        return layer
