"""The refresh tokens of a login session in PostgreSQL: each one but the living one leads to the one that took its place.

All of it happens inside a transaction that holds the person's row.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.sessions import MOST_REPLAYED, Refreshed, Successor, Verdict
from services.auth.stores.accounts import USER_COLUMNS, user_of
from services.auth.stores.tables import sessions, users


async def lock_owner(connection: AsyncConnection, presented: bytes) -> None:
    """Take the row of the person whose token has this digest, until the end of the transaction."""
    # What is read afterwards, by a statement of its own, is what the one before has committed.
    owner = select(sessions.c.user_id).where(sessions.c.refresh_token == presented).scalar_subquery()
    await connection.execute(select(users.c.id).where(users.c.id == owner).with_for_update(key_share=True))


async def find(connection: AsyncConnection, presented: bytes) -> Row[*tuple[Any, ...]] | None:
    """The token with this digest, its person, and the time; None without one."""
    statement = (
        select(
            *USER_COLUMNS,
            sessions.c.id.label("row_id"),
            sessions.c.family_id,
            sessions.c.device_name,
            sessions.c.started_at,
            sessions.c.expires_at,
            sessions.c.rotated_at,
            sessions.c.revoked,
            users.c.revocation_id,
            func.clock_timestamp().label("now"),
        )
        .join_from(sessions, users, users.c.id == sessions.c.user_id)
        .where(sessions.c.refresh_token == presented)
    )
    return (await connection.execute(statement)).one_or_none()


async def rotate(
    connection: AsyncConnection, row: Row[*tuple[Any, ...]], successor: Successor, grace: timedelta
) -> Refreshed:
    """Put the successor in the place of a found token."""
    # A sealed successor that can't be asked for any more would only lead from an old token to the living one.
    await connection.execute(
        update(sessions)
        .where(
            sessions.c.family_id == row.family_id,
            sessions.c.rotated_at < row.now - grace,
            sessions.c.successor.is_not(None),
        )
        .values(successor=None)
    )
    await connection.execute(
        update(sessions)
        .where(sessions.c.id == row.row_id)
        .values(rotated_at=row.now, successor_id=successor.row_id, successor=successor.sealed)
    )
    values = {
        "id": successor.row_id,
        "family_id": row.family_id,
        "user_id": row.id,
        "refresh_token": successor.digest,
        "device_name": row.device_name,
        "started_at": row.started_at,
        "expires_at": row.now + successor.lifetime,
        "revoked": False,
    }
    expire_time = await connection.scalar(insert(sessions).values(values).returning(sessions.c.expires_at))
    return Refreshed(
        Verdict.ROTATED, row.family_id, user_of(row), (successor.sealed,), expire_time, row.revocation_id
    )


async def replay(connection: AsyncConnection, row: Row[*tuple[Any, ...]]) -> Refreshed | None:
    """The way from a found token, which was rotated, to the living one. None when a successor on it is no longer kept, as where a
    process with a shorter grace has forgotten it, and when the way is too long."""
    columns = (sessions.c.successor_id, sessions.c.successor, sessions.c.rotated_at, sessions.c.expires_at)
    first = select(*columns, literal(0).label("place")).where(sessions.c.id == row.row_id)
    chain = first.cte("chain", recursive=True)
    following = (
        select(*columns, (chain.c.place + 1).label("place"))
        .join_from(chain, sessions, sessions.c.id == chain.c.successor_id)
        .where(chain.c.place < MOST_REPLAYED)
    )
    chain = chain.union_all(following)
    tokens = (await connection.execute(select(chain).order_by(chain.c.place))).all()
    if not tokens:
        return None
    *rotated, living = tokens
    if living.rotated_at is not None or any(token.successor is None for token in rotated):
        return None
    return Refreshed(
        Verdict.REPLAYED,
        row.family_id,
        user_of(row),
        tuple(bytes(token.successor) for token in rotated),
        living.expires_at,
        row.revocation_id,
    )
