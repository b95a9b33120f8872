"""libpq, asked by the event loop itself: half of what a cursor costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from psycopg import pq

Row = tuple[bytes | None, ...]

BINARY = 1


class Line:
    """A connection whose socket the event loop watches, from the making of this until `leave` or `hang_up`; nobody else may use it
    meanwhile. Belongs to the running event loop."""

    def __init__(self, server: pq.abc.PGconn) -> None:
        """`server` is connected, idle and non-blocking, as psycopg's asynchronous connections are. Raises psycopg.OperationalError when
        it is closed."""
        self.broken = False
        self._server = server
        self._socket = server.socket
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[pq.abc.PGresult] | None = None
        self._result: pq.abc.PGresult | None = None
        self._owed = False
        self._writing = False
        self._loop.add_reader(self._socket, self._readable)

    @property
    def owed(self) -> bool:
        """Whether an answer is still to come."""
        return self._owed

    async def ask(self, send: Callable[[pq.abc.PGconn], None]) -> pq.abc.PGresult:
        """Send something, and wait for the result. Raises psycopg's errors when the connection is lost.

        After a cancellation the answer is still to come: ask for the `rest`, or hang up.
        """
        send(self._server)
        self._owed = True
        if self._server.flush():
            self._writing = True
            self._loop.add_writer(self._socket, self._writable)
        return await self.rest()

    async def rest(self) -> pq.abc.PGresult:
        """Wait for the result of what was asked."""
        self._answer = self._loop.create_future()
        return await self._answer

    def leave(self) -> None:
        """Watch the socket no more."""
        if not self.broken:
            self._loop.remove_reader(self._socket)
            if self._writing:
                self._loop.remove_writer(self._socket)

    def hang_up(self) -> None:
        """Watch the socket no more, and close it."""
        if not self.broken:
            self.leave()
            self.broken = True
            # Without a farewell, which could not be said while an answer is still to come.
            self._server.finish()

    def _writable(self) -> None:
        try:
            if not self._server.flush():
                self._writing = False
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
        if result is not None:
            self._owed = False
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(result)

    def _lost(self, error: psycopg.Error) -> None:
        self.hang_up()
        self._owed = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def rows_of(result: pq.abc.PGresult) -> list[Row]:
    """The rows of a result. Raises what the database found wrong."""
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        raise psycopg.errors.error_from_result(result)
    columns = range(result.nfields)
    return [tuple([result.get_value(row, column) for column in columns]) for row in range(result.ntuples)]
