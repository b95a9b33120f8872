"""What PostgreSQL reads for Speech's lists and sweeps does not grow with all that is kept."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from services.infra.postgres.database import Database
from services.kernel.ids import first_id_at, new_id
from services.speech.stores import book_statements, removal_statements, statements
from tests.fakes.speech_stores import PAUSE, TTL

ROWS = 3000
FEW = 60
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)

# One conversion in three is of nobody, and one in a thousand of Ana; one removal in a hundred is due.
FILL = (
    f"""insert into speech.generations
        select gen_random_uuid(), '', '', '', null, '', 1, '', '', '', '', '', 1, 0, 'completed', null, gen_random_uuid(), null,
               %(now)s - n * interval '1 hour', %(now)s, gen_random_uuid(), 1, '', 1, 1, 1, 1 from generate_series(1, {ROWS}) n""",
    """insert into speech.tts_conversions (user_id, text, audio_url, s3_key, created_at, conversion_id)
        select case when n %% 1000 = 1 then 'ana' when n %% 3 = 0 then 'anonymous' else 'u' || n end, '', '', '',
               %(now)s - n * interval '1 hour', g.generation_id
        from (select generation_id, row_number() over () as n from speech.generations) g""",
    f"""insert into speech.removals (conversion_id, day, due_at)
        select gen_random_uuid(), '2026-05-04', now() + case when n %% 100 = 0 then -1 else 1 end * interval '1 day'
        from generate_series(1, {ROWS}) n""",
)


async def test_lists_and_sweeps_read_what_they_give(migrated_url: str) -> None:
    values = {
        "now": NOW,
        "after": None,
        "size": 20,
        "skip": 0,
        "max_bytes": 10**6,
        "user_id": "ana",
        "limit": 20,
        "before": NOW.replace(year=2025),
        "conversion_id": new_id(),
        "generation_id": new_id(),
        "generation_ids": [new_id()],
        "conversion_ids": [new_id()],
        "agains": [0],
        "again": 1,
        "owner_id": new_id(),
        "but": new_id(),
        "ttl": TTL,
        "pause": PAUSE,
        "repeat": PAUSE,
        "first": first_id_at(NOW),
        "last": first_id_at(NOW),
    }
    # A database of its own: what other tests have left in indexes would be counted here.
    async with Database(migrated_url) as database, database.connection() as connection:
        for statement in FILL:
            await connection.execute(statement.encode(), values)
        await connection.execute("analyze speech.generations, speech.tts_conversions, speech.removals")
        for name, statement in {
            "a page of all": statements.PAGE_OF_ALL,
            "a page of one": statements.PAGE_OF_ONE,
            "the count of one": statements.COUNT_OF_ONE,
            "a conversion": statements.CONVERSION,
            "what is deleted": statements.DELETE,
            "what expires": statements.EXPIRE,
            "who is silent": statements.SILENT,
            "who else runs": statements.OTHERS,
            "renewal": statements.RENEW,
            "a discard": statements.DISCARD,
            "what is due": removal_statements.DUE,
            "what is removed": removal_statements.REMOVED,
            "the sums": book_statements.USAGE,
            "the conversions of a person": statements.DELETE_OF_PERSON,
        }.items():
            await connection.execute("begin")
            explained = f"explain (analyze, costs off, timing off) {statement}"
            cursor = await connection.execute(explained.encode(), values)
            plan = "\n".join([row[0] for row in await cursor.fetchall()])
            await connection.execute("rollback")
            most = max(int(n) for n in re.findall(r"(?:actual rows=|Removed by Filter: )(\d+)", plan))
            assert most <= FEW, f"{name}\n{plan}"
