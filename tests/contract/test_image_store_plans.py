"""What PostgreSQL reads for Image's lists and sweeps does not grow with all that is kept."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from services.image.stores import book_statements, filing_statements, statements
from services.infra.postgres.database import Database
from services.kernel.ids import first_id_at, new_id
from tests.fakes.image_stores import TTL

ROWS = 3000
FEW = 60
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)

# One image in three is of nobody, and one in a thousand of Ana; a hundredth of them is still to be filed, and one filing in ten of these is due.
FILL = (
    f"""insert into image.generations
        select gen_random_uuid(), '{{}}', '', '', '', null, '1x1', '', '', '', null, 1, 'completed', null, gen_random_uuid(), null,
               %(now)s - n * interval '1 hour', %(now)s, gen_random_uuid(), 1, '', 1, 1 from generate_series(1, {ROWS}) n""",
    """insert into image.images
        select gen_random_uuid(), g.generation_id, case when n %% 1000 = 1 then 'ana' when n %% 3 = 0 then '' else 'u' || n end, '', '', '', '', '',
               '', '', '', null, 0, 1, 1, '', 1, '', 1, %(now)s - n * interval '1 hour'
        from (select generation_id, row_number() over () as n from image.generations) g""",
    f"""insert into image.filings (image_id, group_key, user_id, day, change, due_at)
        select gen_random_uuid(), 'u' || n, 'u', '2026-05-04', 'remove', now() + case when n %% 100 = 0 then -1 else 1 end * interval '1 day'
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
        "generation_id": new_id(),
        "generation_ids": [new_id()],
        "owner_id": new_id(),
        "lease_id": new_id(),
        "but": new_id(),
        "ttl": TTL,
        "group": "u7",
        "groups": ["u7"],
        "all": True,
        "first": first_id_at(NOW),
        "last": first_id_at(NOW),
    }
    # A database of its own: what other tests have left in indexes would be counted here.
    async with Database(migrated_url) as database, database.connection() as connection:
        for statement in FILL:
            await connection.execute(statement.encode(), values)
        await connection.execute("analyze image.generations, image.images, image.filings")
        for name, statement in {
            "a page of all": statements.PAGE_OF_ALL,
            "a page of one": statements.PAGE_OF_ONE,
            "the count of one": statements.COUNT_OF_ONE,
            "images of a call": statements.IMAGES_OF,
            "what expires": statements.EXPIRE,
            "who is silent": statements.SILENT,
            "who else runs": statements.OTHERS,
            "renewal": statements.RENEW,
            "what is due": filing_statements.LEASE_DUE,
            "a group": filing_statements.TAKEN,
            "whether a group waits": filing_statements.WAITS,
            "the sums": book_statements.USAGE,
            "the images of a person": statements.DELETE_OF_PERSON,
        }.items():
            await connection.execute("begin")
            explained = f"explain (analyze, costs off, timing off) {statement}"
            cursor = await connection.execute(explained.encode(), values)
            plan = "\n".join([row[0] for row in await cursor.fetchall()])
            await connection.execute("rollback")
            most = max(int(n) for n in re.findall(r"(?:actual rows=|Removed by Filter: )(\d+)", plan))
            assert most <= FEW, f"{name}\n{plan}"
