"""What a search on PostgreSQL looks at: the person's own messages, whatever others have stored."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chat.model import Session
from services.chat.stores import searching
from services.chat.stores.prefilter import may_have
from services.chat.words import Wanted
from services.infra.postgres.database import Database
from services.kernel.paging import PageRequest
from tests.fakes.chat_stores import postgres_stores

# Messages of another person, as many as make the planner prefer a scan of the table to an index.
pytestmark = pytest.mark.long

_OTHERS = sa.text("""
insert into chat.messages (message_id, session_id, role, texts)
select gen_random_uuid(), cast(:session_id as uuid), 'user', array['lima is said here, time ' || n]
from generate_series(1, :count) n
""")
_LOOKED_AT = sa.text("""
select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables where schemaname = 'chat'
""")


async def looked_at(
    connection: AsyncConnection, user_id: str, session_id: str = "", query: str = "lima"
) -> int:
    """How many rows of Chat's tables one search has read."""
    async with connection.begin():
        before = (await connection.execute(_LOOKED_AT)).scalar_one()
        page = await searching.search(connection, user_id, session_id, query, PageRequest())
        assert len(page.items) == 20
        after = (await connection.execute(_LOOKED_AT)).scalar_one()
    return int(after - before)


async def filled(database: Database, session: Session, count: int) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(_OTHERS, {"session_id": session.session_id, "count": count})
        await connection.execute(sa.text("analyze"))


async def test_messages_of_others_cost_nothing(migrated_url: str) -> None:
    async with postgres_stores(migrated_url) as stores, Database(migrated_url) as database:
        mine, theirs = await stores.opened(), await stores.opened("u2")
        await stores.said(mine, *(f"lima {number}" for number in range(20)))
        async with database.engine.connect() as connection:
            alone = await looked_at(connection, "u1")
        for count in (200, 20_000):
            await filled(database, theirs, count)
            async with database.engine.connect() as connection:
                # Several times, since a statement that was prepared has another plan.
                for _ in range(12):
                    assert await looked_at(connection, "u1") <= alone + 20
                    assert await looked_at(connection, "u1", mine.session_id) <= alone + 20


async def test_a_common_word_ends_the_looking_early(migrated_url: str) -> None:
    async with postgres_stores(migrated_url) as stores, Database(migrated_url) as database:
        session = await stores.opened()
        await filled(database, session, 12_000)
        async with database.engine.connect() as connection:
            # Their ids and sizes, and the texts of one or two slices, twice.
            assert await looked_at(connection, "u1") < 2 * 12_000 + 5_000


async def test_only_the_newest_are_looked_through(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with postgres_stores(migrated_url) as stores:
        session = await stores.opened()
        said = await stores.said(session, *("lima " + "x " * 10_000 for _ in range(6)))
        newest = [message.message_id for message in reversed(said)]

        async def found() -> list[str]:
            page = await stores.sessions.search("u1", "", "lima", PageRequest(100))
            return [message.message_id for message in page.items]

        monkeypatch.setattr(searching, "_SLICE", 2)
        assert await found() == newest
        monkeypatch.setattr(searching, "LOOKED_THROUGH", 5)
        assert await found() == newest[:5]
        monkeypatch.setattr(searching, "MOST_BYTES", 600)
        assert newest[:1] == (await found())[:1]
        assert len(await found()) < 5
        monkeypatch.setattr(searching, "MOST_RANKED", 1)
        assert await found() == newest[:1]


# Those whose folding is not what `lower` makes of them, and some that are near them.
_LETTERS = st.sampled_from(
    list(
        "aikKsSfFtlhnyjwI._ -éÉßẞſKÅ\ufb00\ufb01\ufb03\ufb05\u0149\u01f0\u1e96\u1e99\u1e9aİıΣσςΑΙᾼᾷΐϴθМм日ǅǆꭰᏀ\u0301\u0307🙂𐐀𐐨"
    )
)
_DRAWN = st.lists(st.tuples(st.text(_LETTERS, max_size=12), st.text(_LETTERS, max_size=3)), max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=_DRAWN)
def test_the_database_passes_every_text_that_has_the_words(
    migrated_url: str, drawn: list[tuple[str, str]]
) -> None:
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(migrated_url))
    with engine.connect() as connection:
        for text, query in drawn:
            # What it ends with is a word of its own, and what surrounds it another one.
            for said in (text, f"{text} {query}", f"{text}{query}{text}", f"{query.upper()}.{text}"):
                for wanted in (Wanted.of(query), Wanted.of(text)):
                    if wanted.words and wanted.score(said) is not None:
                        assert passes(connection, said, wanted.words), (said, wanted)
    engine.dispose()


def passes(connection: sa.Connection, said: str, words: Sequence[str]) -> bool:
    condition, parameters = may_have(words)
    query = sa.text(f"select {condition} from (select cast(:said as text) as t offset 0) told")
    return bool(connection.execute(query, {**parameters, "said": said}).scalar_one())


def test_the_database_keeps_back_most_others(migrated_url: str) -> None:
    texts = ["an egg", "the sky over Lima", "El Árbol", "Straßen", "Мир и мы", "日本"]
    kept = {"lima": 1, "árbol": 1, "мир": 1, "日本": 1, "nothing": 0, "the sky": 1, "strassen": 1}
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(migrated_url))
    with engine.connect() as connection:
        for query, count in kept.items():
            words = Wanted.of(query).words
            assert sum(passes(connection, text, words) for text in texts) == count, query
    engine.dispose()
