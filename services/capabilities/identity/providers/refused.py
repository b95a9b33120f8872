"""Tells the operator that Auth does not know this process for one of its deployment."""

from __future__ import annotations

import logging
import time

import grpc

_log = logging.getLogger(__name__)

_AGAIN_SECONDS = 60.0
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class Refusals:
    """Looks at failed calls to Auth. A refusal of the caller is logged, at most once a minute: trying again does not help."""

    def __init__(self) -> None:
        self._again_at = float("-inf")

    def look_at(self, error: grpc.aio.AioRpcError) -> None:
        """Log the failure if Auth has refused this process's service token."""
        now = time.monotonic()
        if error.code() in _REFUSED and now >= self._again_at:
            self._again_at = now + _AGAIN_SECONDS
            _log.error(
                "Auth refuses this process's service token (%s): the deployment secrets differ (ANTIPHON_SECRET_KEY), or the"
                " clocks of the two machines do",
                error.code().name,
            )
