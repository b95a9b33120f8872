"""A statement of the hot path on an ordinary connection of the pool: prepared once on each, its values in PostgreSQL's binary form, and
libpq asked by the event loop itself. That takes half of what a cursor takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import pq

from services.infra.postgres.binary import Kind
from services.infra.postgres.connections import PoolConnection
from services.infra.postgres.line import BINARY, Line, Row, rows_of

_log = logging.getLogger(__name__)

_PARAMETER = re.compile(r"%\((\w+)\)s")
_CALL_OFF_SECONDS = 5.0
_UNKNOWN_STATEMENT = b"26000"


class PreparedStatement:
    """SQL with parameters written `%(name)s`, as psycopg has them. It holds no connection, so that many may execute it at a time."""

    def __init__(self, sql: str, parameters: Mapping[str, Kind]) -> None:
        """`parameters` are those that the SQL has, by name. Raises ValueError when it has others."""
        if unlike := set(_PARAMETER.findall(sql)) ^ set(parameters):
            raise ValueError(
                f"not both in the statement and among its parameters: {', '.join(sorted(unlike))}"
            )
        places = {name: f"${place}" for place, name in enumerate(parameters, 1)}
        self._parameters = list(parameters)
        self._sql = _PARAMETER.sub(lambda found: places[found[1]], sql).encode()
        self._types = [int(kind) for kind in parameters.values()]
        self._formats = [BINARY] * len(self._types)
        self._name = f"antiphon_{hashlib.sha256(self._sql).hexdigest()[:16]}".encode()

    async def execute(self, connection: PoolConnection, values: Mapping[str, bytes | None]) -> list[Row]:
        """The rows that the statement returns; values by name, and they and the rows in binary form. The connection is in autocommit, and
        nobody else uses it meanwhile.

        Raises psycopg's errors. A cancellation cancels the statement as well, which may have been executed or not, and leaves the
        connection with nothing to come, or closed.
        """
        ordered = [values[name] for name in self._parameters]
        line = Line(connection.pgconn)
        try:
            if connection.prepares:
                result = await self._executed(connection, line, ordered)
            else:
                result = await line.ask(
                    lambda server: server.send_query_params(
                        self._sql, ordered, self._types, self._formats, BINARY
                    )
                )
        except psycopg.OperationalError:
            line.hang_up()
            raise
        except BaseException:
            if line.owed:
                await _call_off(connection, line)
            raise
        finally:
            line.leave()
        return rows_of(result)

    async def _executed(
        self, connection: PoolConnection, line: Line, values: Sequence[bytes | None]
    ) -> pq.abc.PGresult:
        def send(server: pq.abc.PGconn) -> None:
            server.send_query_prepared(self._name, values, self._formats, BINARY)

        if self._name not in connection.prepared:
            await self._prepare(connection, line)
        result = await line.ask(send)
        if result.error_field(pq.DiagnosticField.SQLSTATE) == _UNKNOWN_STATEMENT:
            # Somebody has deallocated it; nothing was done yet.
            await self._prepare(connection, line)
            result = await line.ask(send)
        return result

    async def _prepare(self, connection: PoolConnection, line: Line) -> None:
        result = await line.ask(lambda server: server.send_prepare(self._name, self._sql, self._types))
        # Whoever prepared it may have been cancelled before the answer came. The name is made of the SQL, so it is this one.
        with contextlib.suppress(psycopg.errors.DuplicatePreparedStatement):
            rows_of(result)
        connection.prepared.add(self._name)


async def _call_off(connection: PoolConnection, line: Line) -> None:
    """End what is being executed, so that the connection can be used again; close it when that fails."""
    try:
        async with asyncio.timeout(_CALL_OFF_SECONDS):
            await connection.cancel_safe(timeout=_CALL_OFF_SECONDS)
            if line.owed:
                await line.rest()
    except (psycopg.Error, TimeoutError) as error:
        _log.warning("A statement could not be called off, so its connection is closed: %s", error)
        line.hang_up()
    except BaseException:
        line.hang_up()
        raise
