"""Signing keys in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import delete, extract, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.audit import COMMAND_LINE, Deed
from services.auth.model.signing_keys import KeyRecord, KeyState, NotYet, Rotation, SealedKey
from services.auth.stores import audit
from services.auth.stores.tables import signing_keys
from services.auth.stores.token_lives import longest
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated

_LOCK_KEY = 0x61757468_73696B65  # "authsike" in ASCII: the number that all who rotate agree on
# A process that was out of touch for a while may have signed with a key that was retired meanwhile.
_MARGIN = timedelta(minutes=10)
_LISTED = (KeyState.NEXT, KeyState.ACTIVE, KeyState.RETIRED)


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

    async def states(self) -> Mapping[str, KeyState]:
        """See `ports.SigningKeys`."""
        with translated():
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(select(signing_keys.c.kid, signing_keys.c.state))).all()
        return {row.kid: KeyState(row.state) for row in rows}

    async def records(self) -> Sequence[KeyRecord]:
        """See `ports.SigningKeys`."""
        statement = select(
            signing_keys.c.kid,
            signing_keys.c.state,
            signing_keys.c.created_at,
            signing_keys.c.activated_at,
            signing_keys.c.retired_at,
        )
        with translated():
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
        found = [
            KeyRecord(row.kid, KeyState(row.state), row.created_at, row.activated_at, row.retired_at)
            for row in rows
        ]
        latest_first = sorted(found, key=lambda record: record.since, reverse=True)
        return sorted(latest_first, key=lambda record: _LISTED.index(record.state))

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

    async def rotate(
        self, following: SealedKey, minimum_age: timedelta, *, leaked: bool = False
    ) -> Rotation | NotYet:
        """See `ports.SigningKeys`."""
        with translated():
            async with self._database.engine.begin() as connection:
                await connection.execute(select(func.pg_advisory_xact_lock(_LOCK_KEY)))
                age = extract("epoch", func.clock_timestamp() - signing_keys.c.created_at)
                statement = select(signing_keys.c.kid, age).where(signing_keys.c.state == KeyState.NEXT.value)
                found = (await connection.execute(statement)).one_or_none()
                if leaked:
                    return await _drop(connection, None if found is None else found[0], following)
                wait = minimum_age.total_seconds() - (0.0 if found is None else float(found[1]))
                if found is None:
                    await _publish(connection, following)
                if found is None or wait > 0:
                    return NotYet(wait)
                return await _rotate(connection, found[0], following)

    async def prune(self, token_life: timedelta) -> int:
        """See `ports.SigningKeys`."""
        statement = delete(signing_keys).where(
            signing_keys.c.state == KeyState.RETIRED.value,
            signing_keys.c.retired_at + longest(token_life) + _MARGIN < func.now(),
        )
        with translated():
            async with self._database.engine.begin() as connection:
                return (await connection.execute(statement)).rowcount


async def _rotate(connection: AsyncConnection, kid: str, following: SealedKey) -> Rotation:
    retire = (
        update(signing_keys)
        .where(signing_keys.c.state == KeyState.ACTIVE.value)
        .values(state=KeyState.RETIRED.value, retired_at=func.clock_timestamp())
        .returning(signing_keys.c.kid)
    )
    retired = await connection.scalar(retire) or ""
    await _activate(connection, kid)
    return await _finish(connection, Rotation(kid, following.kid, retired=retired), following)


async def _drop(connection: AsyncConnection, kid: str | None, following: SealedKey) -> Rotation:
    used = delete(signing_keys).where(signing_keys.c.state != KeyState.NEXT.value)
    dropped = (await connection.scalars(used.returning(signing_keys.c.kid))).all()
    if kid is not None:
        await _activate(connection, kid)
        return await _finish(connection, Rotation(kid, following.kid, dropped=dropped), following)
    rotation = await _finish(connection, Rotation(following.kid, "", dropped=dropped), following)
    await _activate(connection, following.kid)
    return rotation


async def _activate(connection: AsyncConnection, kid: str) -> None:
    values = {"state": KeyState.ACTIVE.value, "activated_at": func.clock_timestamp()}
    await connection.execute(update(signing_keys).where(signing_keys.c.kid == kid).values(values))


async def _finish(connection: AsyncConnection, rotation: Rotation, following: SealedKey) -> Rotation:
    kids = {
        "active": rotation.active,
        "next": rotation.following,
        "retired": rotation.retired,
        "dropped": " ".join(rotation.dropped),
    }
    attributes = {name: value for name, value in kids.items() if value}
    await audit.record(connection, Deed("signing_key.rotate", "", COMMAND_LINE, attributes))
    # Its age counts from here, so nothing that takes time comes between this and the commit.
    await _publish(connection, following)
    return rotation


async def _publish(connection: AsyncConnection, key: SealedKey) -> None:
    values = {**_values(key), "state": KeyState.NEXT.value}
    await connection.execute(insert(signing_keys).values(values))


def _values(key: SealedKey) -> dict[str, object]:
    return {
        "kid": key.kid,
        "state": key.state.value,
        "private_pem": key.sealed_private,
        "public_pem": key.public_pem,
        "created_at": func.clock_timestamp(),
    }
