"""Finds messages by their words in PostgreSQL, without an index of words, which every message that is stored would pay for.

A person's own messages are looked through, the newest first and a slice at a time: the database passes those that may have the words,
and here they are looked at closely. Messages of other people are never touched, whatever the planner thinks of the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chat.errors import SearchesOverloaded
from services.chat.model import Message
from services.chat.stores.pages import fitting_keys
from services.chat.stores.prefilter import may_have
from services.chat.stores.tables import MESSAGE_SIZE, MESSAGES, message_of
from services.chat.words import SEARCHED_CHARACTERS, Wanted
from services.kernel.paging import Page, PageRequest

LOOKED_THROUGH = 50_000
"""Older messages are not looked at."""

MOST_RANKED = 1_000
"""Of more hits the older ones are not found."""

MOST_BYTES = 128 * 1024**2
"""Of so much stored text at most, which is often twice as much, and may be many times as much, when it is read."""

_SLICE = 1_000
_SLICE_BYTES = 8 * 1024**2
_STATEMENT_SECONDS = 5
# So much is fetched, and looked at without a pause for others.
_CHARACTERS_FETCHED = 2_000_000
_CHARACTERS_AT_ONCE = 200_000

# Without a scan of the whole table, what is left to the planner are ways that begin with the person's sessions, or with ids.
_SETTINGS = sa.text("""
select set_config('statement_timeout', :timeout, true), set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
""")

# Each slice is an array as text, which goes back as it came. The limit in it keeps a session's messages a search of their index; sizes are
# asked one by one, and are those of the compressed texts.
_SLICES = """
select cast(array_agg(message_id order by message_id desc) as text)
from (
    select message_id, row_number() over newest_first - 1 as place, coalesce(sum(size) over newest_first, 0) as bytes
    from (
        select message_id, (select pg_column_size(texts) from chat.messages where message_id = newest.message_id) as size
        from (
            select m.message_id
            from chat.sessions s
            cross join lateral (
                select message_id from chat.messages
                where session_id = s.session_id order by message_id desc limit :most
            ) m
            where s.user_id = :user_id {in_session}
            order by m.message_id desc limit :most
        ) newest
    ) sized
    window newest_first as (order by message_id desc)
) placed
where bytes <= :most_bytes
group by place / :slice, div(bytes, :slice_bytes)
order by place / :slice, div(bytes, :slice_bytes)
"""

# `offset 0` keeps the text from being put together anew for each mention of it.
_CANDIDATES = """
select cast(message_id as text), length(t)
from (
    select message_id, left(array_to_string(texts, ' '), :searched) as t
    from chat.messages where message_id = any(cast(:ids as uuid[])) offset 0
) looked_at
where {may_have}
order by message_id desc
"""

_TEXTS = sa.text("""
select cast(message_id as text), left(array_to_string(texts, ' '), :searched)
from chat.messages where message_id = any(cast(:ids as uuid[])) order by message_id desc
""")


async def search(
    connection: AsyncConnection, user_id: str, session_id: str, query: str, page: PageRequest
) -> Page[Message]:
    """A page of hits, in a transaction that only reads. Its key is the score of the last one and its id. Raises SearchesOverloaded when it
    takes too long."""
    try:
        return await _search(connection, user_id, session_id, query, page)
    except DBAPIError as error:
        if isinstance(error.orig, QueryCanceled):
            raise SearchesOverloaded from None
        raise


async def _search(
    connection: AsyncConnection, user_id: str, session_id: str, query: str, page: PageRequest
) -> Page[Message]:
    wanted = Wanted.of(query)
    if not wanted.words:
        return Page([])
    await connection.execute(_SETTINGS, {"timeout": f"{_STATEMENT_SECONDS}s"})
    slices = await _slices(connection, user_id, session_id)
    ranked: list[tuple[float, str]] = []
    async for hit in _hits(connection, slices, wanted):
        ranked.append(hit)
        if len(ranked) == MOST_RANKED:
            break
    ranked.sort(reverse=True)
    if page.after is not None:
        score, id_ = page.after.split()
        ranked = [hit for hit in ranked if hit < (float(score), id_)]
    return await _page(connection, ranked[page.skip :], page.size)


async def _slices(connection: AsyncConnection, user_id: str, session_id: str) -> Sequence[str]:
    """The ids of the person's newest messages, slice by slice."""
    parameters: dict[str, Any] = {
        "user_id": user_id,
        "most": LOOKED_THROUGH,
        "most_bytes": MOST_BYTES,
        "slice": _SLICE,
        "slice_bytes": _SLICE_BYTES,
    }
    in_session = ""
    if session_id:
        in_session = "and s.session_id = cast(:session_id as uuid)"
        parameters["session_id"] = session_id
    slices = sa.text(_SLICES.format(in_session=in_session))
    return list((await connection.execute(slices, parameters)).scalars())


async def _hits(
    connection: AsyncConnection, slices: Sequence[str], wanted: Wanted
) -> AsyncIterator[tuple[float, str]]:
    """Score and id of the messages that have the words, newest first."""
    condition, parameters = may_have(wanted.words)
    candidates = sa.text(_CANDIDATES.format(may_have=condition))
    unpaused = 0
    for ids in slices:
        found = await connection.execute(
            candidates, {**parameters, "searched": SEARCHED_CHARACTERS, "ids": ids}
        )
        for few in _fetched_at_once([(id_, characters) for id_, characters in found]):
            for id_, text in await connection.execute(_TEXTS, {"searched": SEARCHED_CHARACTERS, "ids": few}):
                score = wanted.score(text)
                if score is not None:
                    yield score, id_
                unpaused += len(text)
                if unpaused > _CHARACTERS_AT_ONCE:
                    unpaused = 0
                    await asyncio.sleep(0)


def _fetched_at_once(sized: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    few: list[str] = []
    room = _CHARACTERS_FETCHED
    for id_, characters in sized:
        if characters > room and few:
            yield few
            few, room = [], _CHARACTERS_FETCHED
        few.append(id_)
        room -= characters
    if few:
        yield few


async def _page(connection: AsyncConnection, ranked: Sequence[tuple[float, str]], size: int) -> Page[Message]:
    """The first of these hits, as many as a response has room for."""
    candidates = ranked[: size + 1]
    sizes = sa.select(MESSAGES.c.message_id, MESSAGE_SIZE.label("size")).where(
        MESSAGES.c.message_id.in_([id_ for _, id_ in candidates])
    )
    by_id = {row.message_id: row.size for row in await connection.execute(sizes)} if candidates else {}
    # One that was deleted since is left out, and takes no room.
    ids = fitting_keys([(id_, by_id.get(id_, 0)) for _, id_ in candidates], size)
    if not ids:
        return Page([])
    found = {
        row.message_id: message_of(row)
        for row in await connection.execute(sa.select(MESSAGES).where(MESSAGES.c.message_id.in_(ids)))
    }
    score, last = candidates[len(ids) - 1]
    after = f"{score!r} {last}" if len(candidates) > len(ids) else None
    return Page([found[id_] for id_ in ids if id_ in found], after)
