"""One statement that is executed all the time, on a connection of its own: prepared once, its values in PostgreSQL's binary form, and
libpq asked by the event loop itself. That takes half of what a cursor and a borrowed connection take.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import psycopg
from psycopg import pq

from services.infra.postgres.failures import translated

Row = tuple[bytes | None, ...]
Open = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]

_NAME = b"dedicated"
_BINARY = 1
_UUID, _BIGINT, _BYTEA, _TEXT = 2950, 20, 17, 25
_ARRAY = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")
_SIZED_BIGINT = struct.Struct("!iq")
bigint = struct.Struct("!q").pack


def uuids(values: Sequence[bytes]) -> bytes:
    """A `uuid[]` of values of 16 bytes each."""
    return _array(_UUID, values)


def byteas(values: Sequence[bytes]) -> bytes:
    """A `bytea[]`."""
    return _array(_BYTEA, values)


def texts(values: Sequence[str]) -> bytes:
    """A `text[]`. What UTF-8 does not have goes in escaped."""
    return _array(_TEXT, [value.encode(errors="backslashreplace") for value in values])


def bigints(values: Sequence[int]) -> bytes:
    """A `bigint[]`."""
    return b"".join(
        (_ARRAY.pack(1, 0, _BIGINT, len(values), 1), *[_SIZED_BIGINT.pack(8, value) for value in values])
    )


def _array(kind: int, values: Sequence[bytes]) -> bytes:
    parts = [_ARRAY.pack(1, 0, kind, len(values), 1)]
    for value in values:
        parts += (_LENGTH.pack(len(value)), value)
    return b"".join(parts)


class DedicatedStatement:
    """Executes one statement in autocommit, one execution at a time; who comes meanwhile waits.

    The connection is opened at the first use, and anew after it was lost. `settings` are SQL for each new one. `seconds` bound an
    execution. Belongs to the event loop that it is used in.
    """

    def __init__(self, open_connection: Open, sql: str, settings: str, seconds: float) -> None:
        self._open = open_connection
        self._sql = sql.encode()
        self._settings = settings
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._line: _Line | None = None

    async def execute(self, values: Sequence[bytes | None]) -> list[Row]:
        """The rows that the statement returns; values and rows in binary form.

        Raises Unavailable and, as `translated` does, what the database finds wrong. After Unavailable or a cancellation it may have been
        executed or not.
        """
        with translated():
            async with self._turn:
                try:
                    async with asyncio.timeout(self._seconds):
                        line = await self._ready()
                        result = await line.ask(
                            lambda server: server.send_query_prepared(
                                _NAME, values, [_BINARY] * len(values), _BINARY
                            )
                        )
                except TimeoutError as error:
                    await self._drop()
                    raise psycopg.OperationalError("no answer in time") from error
                except BaseException:
                    # What is still to come on this connection is the answer to something that nobody waits for any more.
                    await self._drop()
                    raise
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise psycopg.errors.error_from_result(result)
            columns = range(result.nfields)
            return [
                tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)
            ]

    async def close(self) -> None:
        """Close the connection. The next execution would open another one."""
        async with self._turn:
            await self._drop()

    async def _ready(self) -> _Line:
        if self._line is not None and self._line.broken:
            await self._drop()
        if self._line is None:
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(self._open())
                await connection.execute(self._settings.encode())
                line = _Line(connection.pgconn, stack)
                stack.callback(line.hang_up)
                prepared = await line.ask(lambda server: server.send_prepare(_NAME, self._sql))
                if prepared.status != pq.ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(prepared)
                line.closing = stack.pop_all()
                self._line = line
        return self._line

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.closing.aclose()


class _Line:
    """A connection whose socket the event loop watches for as long as it lives."""

    def __init__(self, server: pq.abc.PGconn, closing: AsyncExitStack) -> None:
        self.closing = closing
        self.broken = False
        self._server = server
        self._socket = server.socket
        self._loop = asyncio.get_running_loop()
        self._asked: asyncio.Future[pq.abc.PGresult] | None = None
        self._result: pq.abc.PGresult | None = None
        self._loop.add_reader(self._socket, self._readable)

    async def ask(self, send: Callable[[pq.abc.PGconn], None]) -> pq.abc.PGresult:
        """Send something, and wait for the result. Raises psycopg's errors when the connection is lost."""
        asked: asyncio.Future[pq.abc.PGresult] = self._loop.create_future()
        self._asked = asked
        send(self._server)
        if self._server.flush():
            self._loop.add_writer(self._socket, self._writable)
        return await asked

    def hang_up(self) -> None:
        """Watch the socket no more, and close it."""
        if not self.broken:
            self.broken = True
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            # Without a farewell, which could not be said while an answer is still to come.
            self._server.finish()

    def _writable(self) -> None:
        try:
            if not self._server.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._lost(error)

    def _readable(self) -> None:
        try:
            self._server.consume_input()
            while not self._server.is_busy():
                result = self._server.get_result()
                if result is None:
                    self._answered()
                    return
                self._result = result
        except psycopg.Error as error:
            self._lost(error)

    def _answered(self) -> None:
        result, self._result = self._result, None
        if result is not None and self._asked is not None and not self._asked.done():
            self._asked.set_result(result)

    def _lost(self, error: psycopg.Error) -> None:
        self.hang_up()
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(error)
