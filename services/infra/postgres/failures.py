"""What the drivers raise when the database is out of reach, as one failure that callers understand."""

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import errors

from services.kernel.errors import Unavailable

_RETRY_SECONDS = 1.0


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns a database that is unreachable, overloaded, restarting or too slow into Unavailable.

    What the driver raises through SQLAlchemy is seen too. Everything else passes: a violated constraint means
    something to the store that provoked it, and a wrong statement is a defect.
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
    """Whether the same statement may succeed later on.

    psycopg's OperationalError covers lost connections, a full pool, exhausted resources, time-outs and
    deadlocks; a server that has become a read-only replica says so with an error of another class.
    """
    # SQLAlchemy wraps the driver's error, and is not imported only to ask.
    cause = getattr(error, "orig", error)
    return isinstance(
        cause, psycopg.OperationalError | psycopg.InterfaceError | errors.ReadOnlySqlTransaction
    )
