"""The end of login sessions in PostgreSQL, inside the transaction of what ends them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.stores.tables import sessions


async def end_sessions(connection: AsyncConnection, *which: ColumnElement[bool]) -> Sequence[str]:
    """Revoke what lives of these login sessions, with all their tokens, and give their ids in order.

    The person's row has to be locked. Access tokens are not reached: their revocation is the caller's.
    """
    ended = await connection.execute(
        update(sessions)
        .where(sessions.c.revoked.is_(False), *which)
        .values(revoked=True, revoked_at=func.clock_timestamp())
        .returning(sessions.c.family_id)
    )
    return sorted(set(ended.scalars()))
