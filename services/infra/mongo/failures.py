"""What the driver raises when the database is out of reach, as a failure that callers understand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from services.kernel.errors import Unavailable

_RETRY_SECONDS = 1.0

# A server that is starting, stopping, electing, overloaded or slow, by the codes of its errors: HostUnreachable, HostNotFound, CursorNotFound,
# MaxTimeMSExpired, WriteConcernFailed, NetworkTimeout, ShutdownInProgress, UnsatisfiableWriteConcern, WriteConflict, FailedToSatisfyReadPreference,
# ReadConcernMajorityNotAvailableYet, QueryPlanKilled, PrimarySteppedDown,
# CursorKilled, ExceededTimeLimit, SocketException, NotWritablePrimary, InterruptedAtShutdown, Interrupted, InterruptedDueToReplStateChange,
# NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary, LegacyNotPrimary.
_PASSING = frozenset(
    {6, 7, 43, 50, 64, 89, 91, 100, 112, 133, 134, 175, 189, 237, 262, 9001}
    | {10058, 10107, 11600, 11601, 11602, 13435, 13436}
)
DUPLICATE_KEY = 11000


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns a database that is unreachable, electing, restarting or too slow into Unavailable.

    Everything else passes: a duplicate key means something to the store that provoked it, and a wrong command is a defect.
    """
    try:
        yield
    except Exception as error:
        if is_outage(error):
            raise Unavailable(
                "The database does not answer now; try again.", retry_after=_RETRY_SECONDS
            ) from error
        raise


def is_outage(error: BaseException) -> bool:
    """Whether the same command may succeed later on."""
    from pymongo import errors

    if isinstance(error, errors.BulkWriteError):
        details = error.details
        met = [one.get("code") for one in details.get("writeErrors", ())]
        # What was written but not by enough members yet may be taken back.
        return any(code in _PASSING for code in met) or bool(details.get("writeConcernErrors"))
    if isinstance(error, errors.OperationFailure):
        return error.code in _PASSING or isinstance(error, errors.WTimeoutError | errors.ExecutionTimeout)
    if isinstance(error, errors.InvalidOperation):
        return "after close" in str(error)
    return isinstance(error, errors.ConnectionFailure)
