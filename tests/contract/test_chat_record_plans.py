"""What PostgreSQL reads for a record does not grow with the record, nor what a take-over reads with all that ever ended."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.chat.stores import statements
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.warming import warm
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.chat_records import TTL, begun, new_generation

_ROWS = 5000
_FEW = 20


async def rows_read(database: Database, statement: str, values: dict[str, Any]) -> int:
    """The most rows that one step of the plan had or dropped."""
    async with database.connection() as connection:
        explained = f"explain (analyze, costs off, timing off) {statement}"
        cursor = await connection.execute(explained.encode(), values)
        plan = "\n".join([row[0] for row in await cursor.fetchall()])
    return max(int(rows) for rows in re.findall(r"(?:actual rows=|Removed by Filter: )(\d+)", plan))


@pytest.mark.parametrize("position", [0, _ROWS // 2, _ROWS - 5, _ROWS, 2**62])
async def test_a_part_of_a_long_record_is_found_by_its_key(migrated_url: str, position: int) -> None:
    async with Database(migrated_url, warm=[warm]) as database:
        new = new_generation()
        await begun(SqlRecordStore(database), new)
        id_ = new.generation.generation_id
        async with database.connection() as connection:
            await connection.execute(
                "insert into chat.generation_events select %s::uuid, n, n, '' from generate_series(2, %s) n",
                (id_, _ROWS),
            )
            await connection.execute("analyze chat.generation_events")
        values = {"generation_id": id_, "after_seq": position, "limit": 10}
        assert await rows_read(database, statements.EVENTS, values) <= _FEW
        assert await rows_read(database, statements.HEAD, {"generation_id": id_}) <= _FEW


async def test_a_take_over_looks_at_what_runs_only(migrated_url: str) -> None:
    async with Database(migrated_url, warm=[warm]) as database:
        store = SqlRecordStore(database)
        mine = await begun(store, new_generation())
        await store.release(await begun(store, new_generation()))
        async with database.connection() as connection:
            await connection.execute(
                """insert into chat.generations (generation_id, message_id, user_id, api_key_id, input_tokens_estimate, caller, operation,
                       project, model, provider, state, last_seq, owner_id, epoch, created_at, ended_at)
                   select gen_random_uuid(), gen_random_uuid(), '', '', 0, '', '', '', '', '', 'completed', 1, %s::uuid, 1, now(), now()
                   from generate_series(1, %s)""",
                (new_id(), _ROWS),
            )
        await store.renew(mine, TTL)
        values = {"owner_id": mine.owner_id, "epoch": mine.epoch}
        await store.take_over(mine, sole_owner=False, limit=0)
        assert await rows_read(database, statements.ADOPT, {**values, "limit": 50}) <= _FEW
