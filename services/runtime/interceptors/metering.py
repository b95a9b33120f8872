"""Tells the meter of calls that failed before anything began; what began is metered where it is made."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from services.kernel.errors import Code, ServiceError
from services.kernel.metering import EndedCall
from services.runtime.call import Call, Method, Proceed

LONGEST_PROJECT = 128
# The caller made this name up, and the figures are not for everything that somebody can think of.
_UNKNOWN_MODEL = "MODEL_NOT_FOUND"


class Metering:
    """Methods that are not metered pass through at no cost."""

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        meter, service_type = method.meter, method.policy.meter
        if meter is None:
            return proceed
        operation = method.path.rpartition("/")[2]
        request_class = None if method.request_streaming else method.request_class
        names_project = request_class is not None and "project" in request_class.DESCRIPTOR.fields_by_name
        clock, tell = time.perf_counter, meter.ended_without_result

        async def layer(call: Call) -> Any:
            came = clock()
            try:
                return await proceed(call)
            except BaseException as error:
                request = call.request
                begun = request.begun
                if begun is not True:
                    # Before the decoding the message is bytes, and nobody knows what it names.
                    named = names_project and type(call.message) is request_class
                    if request.principal.is_anonymous:
                        # Nobody is held to the name, which may be anything.
                        named = False
                    project = call.message.project if named else ""
                    tell(
                        EndedCall(
                            service_type,
                            operation,
                            request.principal,
                            is_cancellation(call, error),
                            reason_of(call, error),
                            project if len(project) <= LONGEST_PROJECT and "\0" not in project else "",
                            model_of(error),
                            clock() - came,
                            begun or None,
                        )
                    )
                raise

        return layer


def is_cancellation(call: Call, error: BaseException) -> bool:
    """Whether it was the caller who ended the call."""
    if isinstance(error, ServiceError):
        return error.code is Code.CANCELLED
    if isinstance(error, asyncio.CancelledError):
        return not _is_late(call)
    # Whatever writing to somebody who is gone fails with.
    return bool(call.context.done() or call.context.cancelled())


def reason_of(call: Call, error: BaseException) -> str:
    """Why the call failed, as its caller is told; empty when it was the caller who ended it."""
    if is_cancellation(call, error):
        return ""
    if isinstance(error, ServiceError):
        return error.reason
    return "DEADLINE_EXCEEDED" if isinstance(error, asyncio.CancelledError) else ServiceError.reason


def model_of(error: BaseException) -> str:
    """The model that the failure is about, if there is one of that name."""
    if not isinstance(error, ServiceError) or error.reason == _UNKNOWN_MODEL:
        return ""
    return error.metadata.get("model", "")


def _is_late(call: Call) -> bool:
    remaining = call.request.remaining()
    return remaining is not None and remaining <= 0
