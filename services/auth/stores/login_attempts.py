"""Failed logins in PostgreSQL, so that all processes delay alike."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from services.auth.model.sessions import MOST_DOUBLINGS, DelayRule, counted_address
from services.infra.postgres.database import Database

_MOST_ROWS = 100_000
_PRUNE_BATCH = 4000
_PRUNE_EVERY = 1000

_DELAY = """
    select coalesce(max(extract(epoch from delayed_until - statement_timestamp())), 0)::float8
    from auth.login_failures
    where subject = any(%(subjects)s) and delayed_until > statement_timestamp()
"""

# A row that is held up by others' failures stays as it is; that it was not written now tells so.
_FAILED = """
    insert into auth.login_failures as known (subject, failures, failed_at, delayed_until)
    select subject, 1, statement_timestamp(), statement_timestamp() + make_interval(secs => %(first)s)
    from unnest(%(subjects)s::bytea[]) with ordinality as given (subject, place)
    order by place
    on conflict (subject) do update set (failures, failed_at, delayed_until) = (
        select known.failures, known.failed_at, known.delayed_until
        where known.delayed_until > statement_timestamp()
        union all
        select
            counted.failures,
            statement_timestamp(),
            statement_timestamp() + make_interval(secs => case when counted.failures >= %(free)s then
                least(%(longest)s, power(2::float8, least(counted.failures - %(free)s, %(doublings)s)))
            end)
        from (
            select case
                when known.failed_at < statement_timestamp() - make_interval(secs => %(memory)s) then 1
                else least(known.failures, 1000000000) + 1
            end as failures
        ) as counted
        where known.delayed_until is null or known.delayed_until <= statement_timestamp()
    )
    returning case
        when known.failed_at = statement_timestamp() then 0
        else extract(epoch from known.delayed_until - statement_timestamp())
    end::float8
"""

_SUCCEEDED = """
    with held as (
        select coalesce(max(extract(epoch from delayed_until - statement_timestamp())), 0)::float8 as seconds
        from auth.login_failures
        where subject = any(%(subjects)s) and delayed_until > statement_timestamp()
    ),
    forgotten as (
        delete from auth.login_failures
        where
            subject = %(account)s
            and (select seconds from held) = 0
            and (delayed_until is null or delayed_until <= statement_timestamp())
    )
    select seconds from held
"""

_FORGET = "delete from auth.login_failures where subject = %(account)s"

_PRUNE_OLD = """
    delete from auth.login_failures where subject in (
        select subject from auth.login_failures
        where failed_at < statement_timestamp() - make_interval(secs => %(memory)s)
        order by failed_at
        limit %(batch)s
        for update skip locked
    )
"""

_PRUNE_MANY = """
    delete from auth.login_failures where subject in (
        select subject from auth.login_failures
        order by failed_at desc
        offset %(most)s
        limit %(batch)s
        for update skip locked
    )
"""


class SqlLoginAttempts:
    """`ports.LoginAttempts` over the table `login_failures`, whose rows name nobody: their keys are HMACs."""

    def __init__(
        self, database: Database, key: bytes, free: int, longest: float, *, most_rows: int = _MOST_ROWS
    ) -> None:
        """`free` failures in a row bring the first delay, of 1 s; the longest has `longest` seconds. With `free` 0 nothing is counted.

        Of more than `most_rows` accounts and addresses those that failed last are remembered.
        """
        self._database = database
        self._key = key
        self._rule = DelayRule(free, longest)
        self._most_rows = most_rows
        self._until_prune = _PRUNE_EVERY

    async def delay(self, account: str, address: str) -> float:
        """See `ports.LoginAttempts`."""
        if not self._rule.free:
            return 0.0
        return await self._seconds(_DELAY, {"subjects": self._subjects(account, address)})

    async def failed(self, account: str, address: str) -> float:
        """See `ports.LoginAttempts`."""
        rule = self._rule
        if not rule.free:
            return 0.0
        # In one order, so that two who count the same account and address do not wait for one another.
        subjects = sorted(self._subjects(account, address))
        held_up = await self._seconds(
            _FAILED,
            {
                "subjects": subjects,
                "first": rule.delay(1) or None,
                "free": rule.free,
                "longest": rule.longest,
                "doublings": MOST_DOUBLINGS,
                "memory": rule.memory,
            },
        )
        # An attack from very many addresses must not fill the table before the next round of pruning.
        self._until_prune -= 1
        if self._until_prune <= 0:
            self._until_prune = _PRUNE_EVERY
            await self.prune()
        return held_up

    async def succeeded(self, account: str, address: str) -> float:
        """See `ports.LoginAttempts`."""
        if not self._rule.free:
            return 0.0
        subjects = self._subjects(account, address)
        return await self._seconds(_SUCCEEDED, {"subjects": subjects, "account": subjects[0]})

    async def forget(self, account: str) -> None:
        """See `ports.LoginAttempts`."""
        async with self._database.connection() as connection:
            await connection.execute(_FORGET, {"account": self._subjects(account, "")[0]})

    async def prune(self) -> int:
        """Forget some failures that no longer count, and the oldest of too many, and tell how many; 0 when none is left. Safe in
        every replica."""
        async with self._database.connection() as connection:
            old = await connection.execute(_PRUNE_OLD, {"memory": self._rule.memory, "batch": _PRUNE_BATCH})
            many = await connection.execute(_PRUNE_MANY, {"most": self._most_rows, "batch": _PRUNE_BATCH})
            return old.rowcount + many.rowcount

    def _subjects(self, account: str, address: str) -> list[bytes]:
        """The account's key, and that of the address if there is one."""
        named = [f"account:{account}"]
        if address:
            named.append(f"address:{counted_address(address)}")
        return [hmac.digest(self._key, name.encode(), hashlib.sha256) for name in named]

    async def _seconds(self, statement: str, values: dict[str, object]) -> float:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement, values)
            rows: Sequence[tuple[float]] = await cursor.fetchall()
        return max((seconds for (seconds,) in rows), default=0.0)
