"""How long access tokens live that this deployment has signed, in PostgreSQL.

The setting may change, and replicas may differ while it does; a revocation, and a retired signing key, still matter for as long as the
longest-lived token that is about.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, literal, select
from sqlalchemy.dialects.postgresql import INTERVAL, insert

from services.auth.stores.tables import token_lives
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated

# Each process notes its own now and then; between two notes it goes on signing.
_BETWEEN_NOTES = timedelta(hours=3)


def longest(own: timedelta) -> ColumnElement[timedelta]:
    """The longest life of a token that may be about, `own` at least, for use inside a statement."""
    noted = select(func.max(token_lives.c.life)).scalar_subquery()
    return func.greatest(literal(own, INTERVAL), noted)


class TokenLives:
    """The table `token_lives`, a row for each life."""

    def __init__(self, database: Database, own: timedelta) -> None:
        self._database = database
        self._own = own

    async def note(self) -> int:
        """Say that tokens of our life are signed, and forget lives of which no token is left. Tells 0: it is done with one step.

        Call it before the first token is signed, and at least every two hours."""
        row = {"life": self._own, "signed_at": func.now()}
        noted = insert(token_lives).values(row)
        statement = noted.on_conflict_do_update(
            index_elements=[token_lives.c.life], set_={"signed_at": noted.excluded.signed_at}
        )
        over = token_lives.c.signed_at + token_lives.c.life + _BETWEEN_NOTES < func.now()
        with translated():
            async with self._database.engine.begin() as connection:
                await connection.execute(statement)
                await connection.execute(delete(token_lives).where(over))
        return 0
