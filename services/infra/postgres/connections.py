"""A connection of the pool: psycopg's own, which also remembers what was prepared on it without psycopg."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable
from typing import Any

from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic


class PoolConnection(AsyncConnection[Any]):
    """`prepared` holds the names of the statements that were prepared by libpq directly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: set[bytes] = set()
        self._poll = select.poll()
        self._poll.register(self.pgconn.socket, select.POLLIN)

    @property
    def prepares(self) -> bool:
        """Whether prepared statements can be relied on."""
        return self.prepare_threshold is not None

    def has_news(self) -> bool:
        """Whether something waits to be read. On an idle connection that is the server's farewell, or the end of the line.

        It costs a microsecond, where a query to find out would cost a round trip on each borrowing.
        """
        return self.closed or bool(self._poll.poll(0))

    def add_notice_handler(self, callback: Callable[[Diagnostic], None]) -> None:
        """SQLAlchemy adds its notice handler each time it borrows; here the same handler counts once."""
        with contextlib.suppress(ValueError):
            self.remove_notice_handler(callback)
        super().add_notice_handler(callback)

    def _deallocate(self, name: bytes | None) -> PQGen[None]:
        # After a rollback psycopg drops all that is prepared. Who did not know would prepare anew as well, after an error of the server.
        if name is None:
            self.prepared.clear()
        return (yield from super()._deallocate(name))
