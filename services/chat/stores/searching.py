"""Finds messages by their words, with PostgreSQL's full text search."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chat.model import Message
from services.chat.stores.pages import fitting_keys
from services.chat.stores.tables import MESSAGE_SIZE, MESSAGES, SESSIONS, message_of
from services.kernel.paging import Page, PageRequest

# The rank is divided by 1 + the logarithm of the length, so that a long text is not the best one for being long.
_BY_LENGTH = 1
# To rank a text costs a tenth of a millisecond, since its words are counted anew.
_MOST_RANKED = 5000


async def search(
    connection: AsyncConnection, user_id: str, session_id: str, query: str, page: PageRequest
) -> Page[Message]:
    """A page of hits. Its key is the rank of the last one, which depends on nothing but its text and the query, and its id.

    Of more than 5,000 messages with all words, the newest ones are ranked and found.
    """
    ranked = _ranked(user_id, session_id, query)
    order = (ranked.c.rank.desc(), ranked.c.message_id.desc())
    wanted = sa.select(ranked).order_by(*order).limit(page.size + 1).offset(page.skip)
    if page.after is not None:
        after_rank, after_id = page.after.split()
        last = sa.tuple_(sa.cast(float(after_rank), sa.REAL), sa.cast(after_id, MESSAGES.c.message_id.type))
        wanted = wanted.where(sa.tuple_(ranked.c.rank, ranked.c.message_id) < last)
    hits = wanted.subquery()
    sized_hits = (
        sa.select(hits.c.message_id, hits.c.rank, MESSAGE_SIZE.label("size"))
        .join(MESSAGES, MESSAGES.c.message_id == hits.c.message_id)
        .order_by(hits.c.rank.desc(), hits.c.message_id.desc())
    )
    sized = list(await connection.execute(sized_hits))
    ids = fitting_keys([(row.message_id, row.size) for row in sized], page.size)
    if not ids:
        return Page([])
    by_id = {
        row.message_id: message_of(row)
        for row in await connection.execute(sa.select(MESSAGES).where(MESSAGES.c.message_id.in_(ids)))
    }
    # One that was deleted between the two statements is left out.
    items = [by_id[id_] for id_ in ids if id_ in by_id]
    last_hit = sized[len(ids) - 1]
    after = f"{last_hit.rank!r} {last_hit.message_id}" if len(sized) > len(ids) else None
    return Page(items, after)


def _ranked(user_id: str, session_id: str, query: str) -> sa.CTE:
    """The hits with their ranks. Each step is taken by itself: together, the planner would go through all messages from the newest one
    back, in the hope of finding enough soon, and rank each hit twice."""
    words = sa.func.chat.words(MESSAGES.c.texts)
    wanted = sa.func.plainto_tsquery(sa.literal_column("'simple'"), query)
    found = (
        sa.select(MESSAGES.c.message_id)
        .join(SESSIONS, SESSIONS.c.session_id == MESSAGES.c.session_id)
        .where(words.op("@@")(wanted), SESSIONS.c.user_id == user_id)
    )
    if session_id:
        found = found.where(SESSIONS.c.session_id == session_id)
    matches = found.cte("matches").prefix_with("materialized", dialect="postgresql")
    recent = (
        sa.select(matches.c.message_id)
        .order_by(matches.c.message_id.desc())
        .limit(_MOST_RANKED)
        .cte("recent")
        .prefix_with("materialized", dialect="postgresql")
    )
    rank = sa.func.ts_rank(words, wanted, _BY_LENGTH).label("rank")
    return (
        sa.select(MESSAGES.c.message_id, rank)
        .join(recent, recent.c.message_id == MESSAGES.c.message_id)
        .cte("ranked")
        .prefix_with("materialized", dialect="postgresql")
    )
