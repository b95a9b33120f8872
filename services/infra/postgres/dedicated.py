"""One statement that is executed all the time, on a connection of its own: prepared once, its values in PostgreSQL's binary form, and
libpq asked by the event loop itself. That takes half of what a cursor and a borrowed connection take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import psycopg

from services.infra.postgres.failures import translated
from services.infra.postgres.line import BINARY, Line, Row, rows_of

Open = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]

_NAME = b"dedicated"


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
        self._line: Line | None = None
        self._closing = AsyncExitStack()

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
                                _NAME, values, [BINARY] * len(values), BINARY
                            )
                        )
                except TimeoutError as error:
                    await self._drop()
                    raise psycopg.OperationalError("no answer in time") from error
                except BaseException:
                    # What is still to come on this connection is the answer to something that nobody waits for any more.
                    await self._drop()
                    raise
            return rows_of(result)

    async def close(self) -> None:
        """Close the connection. The next execution would open another one."""
        async with self._turn:
            await self._drop()

    async def _ready(self) -> Line:
        if self._line is not None and self._line.broken:
            await self._drop()
        if self._line is None:
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(self._open())
                await connection.execute(self._settings.encode())
                line = Line(connection.pgconn)
                stack.callback(line.hang_up)
                rows_of(await line.ask(lambda server: server.send_prepare(_NAME, self._sql)))
                self._closing = stack.pop_all()
                self._line = line
        return self._line

    async def _drop(self) -> None:
        self._line = None
        await self._closing.aclose()
