"""Signing keys in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import KeyState, SealedKey
from services.auth.stores.tables import signing_keys
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated


class SqlSigningKeys:
    """`ports.SigningKeys` over the table `signing_keys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[SealedKey]:
        """See `ports.SigningKeys`."""
        statement = select(
            signing_keys.c.kid, signing_keys.c.state, signing_keys.c.private_pem, signing_keys.c.public_pem
        ).order_by(signing_keys.c.state, signing_keys.c.created_at, signing_keys.c.kid)
        with translated():
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
        return [
            SealedKey(row.kid, KeyState(row.state), bytes(row.private_pem), row.public_pem) for row in rows
        ]

    async def add_first(self, active: SealedKey, following: SealedKey) -> None:
        """See `ports.SigningKeys`."""
        first = {**_values(active), "activated_at": func.now()}
        # The index that allows one active key makes the second of two processes wait for the first, and then do nothing.
        statement = insert(signing_keys).values(first).on_conflict_do_nothing().returning(signing_keys.c.kid)
        with translated():
            async with self._database.engine.begin() as connection:
                if await connection.scalar(statement) is not None:
                    second = insert(signing_keys).values(_values(following)).on_conflict_do_nothing()
                    await connection.execute(second)


def _values(key: SealedKey) -> dict[str, object]:
    return {
        "kid": key.kid,
        "state": key.state.value,
        "private_pem": key.sealed_private,
        "public_pem": key.public_pem,
        "created_at": func.now(),
    }
