"""Counts in PostgreSQL, which all replicas of a service share."""

from __future__ import annotations

import asyncio
import logging
import re
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context

from services.capabilities.limits.model import WINDOW_SECONDS, Count
from services.infra.postgres.database import Database
from services.infra.postgres.dedicated import Row, bigints, texts
from services.kernel.errors import Unavailable

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
MAXIMUM_WAITING = 10_000
MAXIMUM_REMEMBERED = 100_000
_BATCH = 512
_PAUSE_SECONDS = 1.0
_PRUNE_BATCH = 1000
_SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,62}")
_bigint = struct.Struct("!q").unpack

_Key = tuple[str, str]


class _Asked:
    """The calls of one class and caller that wait for an answer; None tells them that there is none."""

    __slots__ = ("limit", "waiters")

    def __init__(self) -> None:
        self.limit = 0
        self.waiters: list[asyncio.Future[Count | None]] = []


class SqlCounters:
    """Keeps the promises of Counters by one statement on one row per class and caller, with the database's clock.

    While a statement is under way, the calls that arrive gather for the next one. A caller who is known to have reached its limit is refused
    from memory until its window ends. After a failure nobody waits: for a second all are told Unavailable, then the next call asks again,
    and the others are told Unavailable until it has its answer. Belongs to the event loop that it is used in; `aclose` at the end.
    """

    def __init__(
        self,
        database: Database,
        schema: str,
        *,
        window: float = WINDOW_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`schema` has the table of `ddl`. A statement may take `answer_seconds`, the making of a connection included."""
        if not _SCHEMA.fullmatch(schema):
            raise ValueError(f"{schema!r} is not the name of a schema")
        self._database = database
        self._schema = schema
        self._answer_seconds = answer_seconds
        self._clock = clock
        length = f"interval '{round(window * 1_000_000)} microseconds'"
        self._take = database.dedicated(_take(schema, length, answer_seconds), _settings(answer_seconds))
        self._prune = _prune(schema, length).encode()
        self._pending: dict[_Key, _Asked] = {}
        self._waiting = 0
        self._full: OrderedDict[_Key, float] = OrderedDict()
        self._worker: asyncio.Task[None] | None = None
        self._away = False
        self._ask_again_at = float("-inf")
        self._closed = False

    async def take(self, name: str, caller: str, limit: int) -> Count:
        """See `Counters`."""
        key = (name, caller)
        ends_at = self._full.get(key)
        if ends_at is not None:
            left = ends_at - self._clock()
            if left > 0:
                return Count(False, 0, left)
            del self._full[key]
        if self._closed or self._waiting >= MAXIMUM_WAITING or self._clock() < self._ask_again_at:
            raise _unavailable()
        if self._away and self._worker is not None:
            # One call finds out whether the database is back, and may have to wait a while for that.
            raise _unavailable()
        asked = self._pending.get(key)
        if asked is None:
            asked = self._pending[key] = _Asked()
        asked.limit = limit
        answer: asyncio.Future[Count | None] = asyncio.get_running_loop().create_future()
        asked.waiters.append(answer)
        if self._worker is None:
            # Its log lines are of no call in particular, so it gets nothing of this one's context.
            self._worker = asyncio.create_task(self._work(), name="limits", context=Context())
        self._waiting += 1
        try:
            count = await answer
        finally:
            self._waiting -= 1
        if count is None:
            raise _unavailable()
        return count

    async def prune(self) -> int:
        """See `Counters`."""
        now = self._clock()
        while self._full and next(iter(self._full.values())) <= now:
            self._full.popitem(last=False)
        async with self._database.connection() as connection:
            cursor = await connection.execute(self._prune)
            return cursor.rowcount

    async def warm(self) -> None:
        """Connect and prepare the statement, so that the first call does not wait for it. Raises Unavailable."""
        await self._execute([], [], [])

    async def aclose(self) -> None:
        """Tell who waits Unavailable, and close the connection."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        _refuse(self._pending)
        self._pending.clear()
        await self._take.close()

    async def _work(self) -> None:
        try:
            while self._pending:
                batch = self._next_batch()
                if batch:
                    await self._ask(batch)
        finally:
            self._worker = None

    def _next_batch(self) -> dict[_Key, _Asked]:
        batch = {}
        for key in list(self._pending)[:_BATCH]:
            asked = self._pending.pop(key)
            asked.waiters = [answer for answer in asked.waiters if not answer.done()]
            if asked.waiters:
                batch[key] = asked
        return batch

    async def _ask(self, batch: Mapping[_Key, _Asked]) -> None:
        try:
            rows = await self._execute(
                [name for name, _ in batch],
                [caller for _, caller in batch],
                [len(asked.waiters) for asked in batch.values()],
            )
            now = self._clock()
            counted = {(name, caller): (used, left) for name, caller, used, left in rows}
            for key, asked in batch.items():
                used, left = counted[key[0].encode(), key[1].encode()]
                self._answer(key, asked, _number(used), max(0.0, _number(left) / 1_000_000), now)
        except Unavailable as error:
            self._failed(batch, error)
        except Exception as error:
            _log.exception("calls could not be counted in a way that was not foreseen")
            self._failed(batch, error)
        except BaseException:
            _refuse(batch)
            raise
        else:
            if self._away:
                self._away = False
                _log.warning("calls are counted again", extra={"service": self._schema})

    async def _execute(
        self, names: Sequence[str], callers: Sequence[str], wanted: Sequence[int]
    ) -> list[Row]:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._take.execute([texts(names), texts(callers), bigints(wanted)])
        except TimeoutError:
            raise _unavailable() from None

    def _answer(self, key: _Key, asked: _Asked, used: int, left: float, now: float) -> None:
        """Share out what the row says among those who wait: it was raised by one for each, and has room up to the limit."""
        before = used - len(asked.waiters)
        waiters = [answer for answer in asked.waiters if not answer.done()]
        for number, answer in enumerate(waiters, before + 1):
            answer.set_result(Count(number <= asked.limit, max(0, asked.limit - number), left))
        if used >= asked.limit:
            if len(self._full) >= MAXIMUM_REMEMBERED:
                self._full.popitem(last=False)
            self._full[key] = now + left

    def _failed(self, batch: Mapping[_Key, _Asked], error: Exception) -> None:
        if not self._away:
            self._away = True
            why = error.__cause__ or error
            _log.warning("calls can't be counted", extra={"service": self._schema, "why": str(why)})
        self._ask_again_at = self._clock() + _PAUSE_SECONDS
        _refuse(batch)
        # They came while the statement was under way, and would only wait for the next one to fail.
        _refuse(self._pending)
        self._pending.clear()


def _refuse(asked: Mapping[_Key, _Asked]) -> None:
    for one in asked.values():
        for answer in one.waiters:
            if not answer.done():
                answer.set_result(None)


def _unavailable() -> Unavailable:
    return Unavailable("Calls can't be counted now; try again.", retry_after=_PAUSE_SECONDS)


def _number(value: bytes | None) -> int:
    assert value is not None
    number: int = _bigint(value)[0]
    return number


def _settings(seconds: float) -> str:
    milliseconds = max(1, round(seconds * 1000))
    return (
        f"set statement_timeout = {milliseconds}; set synchronous_commit = off;"
        " set enable_seqscan = off; set plan_cache_mode = force_generic_plan"
    )


def _take(schema: str, length: str, answer_seconds: float) -> str:
    # A statement that waits for a row may find a window there that began after it was sent, by as much as it may wait. Windows that
    # begin further in the future are those of a clock that was set back, and count for nothing.
    ahead = f"interval '{round(answer_seconds * 1_000_000)} microseconds'"
    ended = f"excluded.began_at not between held.began_at - {ahead} and held.began_at + {length} - interval '1 microsecond'"
    # In one order, so that statements of two replicas never wait for one another in a circle.
    return f"""
        insert into {schema}.limits as held (class, caller, began_at, used)
        select asked.class, asked.caller, clock_timestamp(), asked.wanted
        from unnest($1::text[], $2::text[], $3::bigint[]) as asked (class, caller, wanted)
        order by asked.class collate "C", asked.caller collate "C"
        on conflict (class, caller) do update set
            began_at = case when {ended} then excluded.began_at else held.began_at end,
            used = case when {ended} then excluded.used else held.used + excluded.used end
        returning class, caller, used,
            (extract(epoch from began_at + {length} - clock_timestamp()) * 1000000)::bigint
    """


def _prune(schema: str, length: str) -> str:
    return f"""
        delete from {schema}.limits where (class, caller) in (
            select class, caller from {schema}.limits where began_at <= clock_timestamp() - {length}
            order by began_at limit {_PRUNE_BATCH} for update skip locked
        )
    """
