"""What the drivers raise when the database is out of reach, or can't keep a text, as failures that callers understand."""

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import errors

from services.kernel.errors import InvalidArgument, Unavailable

_RETRY_SECONDS = 1.0


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns a database that is unreachable, overloaded, restarting or too slow into Unavailable, and a text with U+0000, which
    PostgreSQL can't keep, into InvalidArgument.

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
        if is_unstorable_text(error):
            raise unstorable_text() from error
        raise


def unstorable_text() -> InvalidArgument:
    """What the sender of a text with U+0000 is told."""
    return InvalidArgument("A text of this request holds a NUL character, which can't be kept; leave it out.")


def is_outage(error: BaseException) -> bool:
    """Whether the same statement may succeed later on.

    psycopg's OperationalError covers lost connections, a full pool, exhausted resources, time-outs and
    deadlocks; a server that has become a read-only replica says so with an error of another class.
    """
    return isinstance(
        _cause(error), psycopg.OperationalError | psycopg.InterfaceError | errors.ReadOnlySqlTransaction
    )


def is_unstorable_text(error: BaseException) -> bool:
    """Whether a value held U+0000: the driver refuses it in texts, the server in JSON."""
    cause = _cause(error)
    if isinstance(cause, errors.UntranslatableCharacter):
        return "\\u0000" in str(cause)
    return type(cause) is psycopg.DataError and "NUL" in str(cause)


def _cause(error: BaseException) -> BaseException:
    # SQLAlchemy wraps the driver's error, and is not imported only to ask.
    cause: BaseException = getattr(error, "orig", error)
    return cause
