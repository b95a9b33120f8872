"""Turns every failure into a canonical status with details, and masks those that nobody foresaw."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc

from services.kernel.errors import ServiceError
from services.runtime.call import STATUS, Call, Method, Proceed
from services.runtime.status import DETAILS_KEY, clip, details_of

_log = logging.getLogger(__name__)


class Errors:
    """Nothing but a status and a cancellation passes this layer outwards."""

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        async def layer(call: Call) -> Any:
            try:
                return await proceed(call)
            except ServiceError as error:
                fail(call, error)
            except asyncio.CancelledError:
                # The caller went away, its deadline passed, or the server stops; there is nobody to tell.
                remaining = call.request.remaining()
                expired = remaining is not None and remaining <= 0
                call.code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
                raise
            except grpc.aio.AbortError:
                call.code = STATUS_BY_NUMBER.get(call.context.code(), grpc.StatusCode.UNKNOWN)
                raise
            except Exception:
                if call.context.done() or call.context.cancelled():
                    # Writing to a caller who is gone fails in many ways, and none of them is a defect.
                    call.code = grpc.StatusCode.CANCELLED
                    raise asyncio.CancelledError from None
                _log.exception("a call failed in a way that was not foreseen", extra={"method": method.path})
                fail(call, masked(call.request.request_id))
            return None

        return layer


STATUS_BY_NUMBER = {key: status for status in grpc.StatusCode for key in (status, status.value[0])}


def masked(request_id: str) -> ServiceError:
    """What the caller learns of a defect: where its traces are."""
    return ServiceError(
        f"The server failed. Its log has the details under request id {request_id}.",
        metadata={"request_id": request_id},
    )


def fail(call: Call, error: ServiceError) -> None:
    """Let the call end with the status of `error`."""
    call.code = STATUS[error.code]
    call.details = clip(error.message)
    call.trailing = (*call.trailing, (DETAILS_KEY, details_of(error)))
