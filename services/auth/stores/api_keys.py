"""API keys in PostgreSQL: digests, never keys."""

from __future__ import annotations

import hmac
import logging
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import Row, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.errors import ApiKeyEnded, TooManyApiKeys
from services.auth.model.accounts import Role
from services.auth.model.api_keys import (
    ENDED_KEYS_KEPT,
    MOST_KEYS,
    ApiKey,
    KeyOwner,
    NewApiKey,
    Rotated,
)
from services.auth.model.audit import Deed
from services.auth.stores.audit import record
from services.auth.stores.revocations import SqlRevocations
from services.auth.stores.tables import SCHEMA, api_keys, users
from services.capabilities.claims.model import Claim
from services.capabilities.claims.sql import SqlClaims
from services.capabilities.identity.revocations import RevocationKind
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.errors import NotFound, Unavailable
from services.kernel.ids import new_id
from services.kernel.paging import Page, PageRequest

_log = logging.getLogger(__name__)

_USE_NOTED_EVERY = timedelta(minutes=1)
_NO_DIGEST = bytes(32)
_PRUNE_BATCH = 1000
_NOW = func.clock_timestamp()

_COLUMNS = (
    api_keys.c.id,
    api_keys.c.user_id,
    api_keys.c.display_name,
    api_keys.c.public_id,
    api_keys.c.scopes,
    api_keys.c.created_at,
    api_keys.c.expires_at,
    api_keys.c.last_used_at,
    api_keys.c.revoked_at,
)
_ENDED = or_(api_keys.c.revoked_at.is_not(None), func.coalesce(api_keys.c.expires_at <= _NOW, False))
_USE_IS_DUE = func.coalesce(api_keys.c.last_used_at <= _NOW - _USE_NOTED_EVERY, True)
_OWNER = select(
    api_keys.c.id,
    api_keys.c.user_id,
    api_keys.c.scopes,
    api_keys.c.secret,
    api_keys.c.old_secret,
    api_keys.c.old_expires_at,
    api_keys.c.expires_at,
    users.c.role,
    users.c.disabled,
    _ENDED.label("ended"),
    func.coalesce(api_keys.c.old_expires_at > _NOW, False).label("in_grace"),
    _USE_IS_DUE.label("use_is_due"),
).join_from(api_keys, users, users.c.id == api_keys.c.user_id)


class SqlApiKeys:
    """`ports.ApiKeys` over the tables `api_keys` and `claims`."""

    def __init__(self, database: Database, revocations: SqlRevocations) -> None:
        self._database = database
        self._revocations = revocations
        self._claims = SqlClaims(SCHEMA)

    async def add(self, key: NewApiKey, deed: Deed, claim: Claim | None = None) -> tuple[ApiKey, bool]:
        """See `ports.ApiKeys`."""
        good = select(func.count()).where(api_keys.c.user_id == key.user_id, ~_ENDED)
        with translated():
            async with self._database.engine.begin() as connection:
                if not await self._lock_person(connection, key.user_id):
                    raise NotFound.of("auth.user", key.user_id)
                holder = await self._take(connection, claim, key.api_key_id)
                if holder != key.api_key_id:
                    found = await self._select(connection, key.user_id, holder)
                    if found is None:
                        raise NotFound.of("auth.api_key", holder)
                    return found, False
                if (await connection.execute(good)).scalar_one() >= MOST_KEYS:
                    raise TooManyApiKeys(MOST_KEYS)
                await record(connection, deed)
                values = {
                    "id": key.api_key_id,
                    "user_id": key.user_id,
                    "public_id": key.public_id,
                    "display_name": key.display_name,
                    "scopes": list(key.scopes),
                    "secret": key.digest,
                    "created_at": func.now(),
                    "expires_at": key.expire_time,
                }
                statement = insert(api_keys).values(values).returning(*_COLUMNS)
                return _key_of((await connection.execute(statement)).one()), True

    async def get(self, user_id: str, api_key_id: str) -> ApiKey | None:
        """See `ports.ApiKeys`."""
        with translated():
            async with self._database.engine.connect() as connection:
                return await self._select(connection, user_id, api_key_id)

    async def list(self, user_id: str, page: PageRequest) -> Page[ApiKey]:
        """See `ports.ApiKeys`."""
        statement = select(*_COLUMNS).where(api_keys.c.user_id == user_id).order_by(api_keys.c.id.desc())
        if page.after is not None:
            statement = statement.where(api_keys.c.id < page.after)
        with translated():
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(statement.limit(page.size + 1).offset(page.skip))).all()
        keys = [_key_of(row) for row in rows[: page.size]]
        return Page(keys, keys[-1].api_key_id if len(rows) > page.size else None)

    async def rotate(
        self,
        user_id: str,
        api_key_id: str,
        digest: bytes,
        grace: timedelta,
        deed: Deed,
        claim: Claim | None = None,
    ) -> Rotated | None:
        """See `ports.ApiKeys`."""
        locked = (
            select(*_COLUMNS, api_keys.c.secret, api_keys.c.old_expires_at, _ENDED.label("ended"))
            .where(api_keys.c.id == api_key_id, api_keys.c.user_id == user_id)
            .with_for_update()
        )
        with translated():
            async with self._database.engine.begin() as connection:
                await self._lock_person(connection, user_id)
                row = (await connection.execute(locked)).one_or_none()
                if row is None:
                    return None
                # A claim stands for one rotation, not for the key: the key had its id before.
                rotation_id = new_id()
                if await self._take(connection, claim, rotation_id) != rotation_id:
                    return Rotated(_key_of(row), row.old_expires_at, repeated=True)
                if row.ended:
                    raise ApiKeyEnded
                statement = (
                    update(api_keys)
                    .where(api_keys.c.id == api_key_id)
                    .values(
                        secret=digest,
                        old_secret=row.secret if grace else None,
                        # The lesser of two ignores an expiry that is null.
                        old_expires_at=func.least(_NOW + grace, api_keys.c.expires_at),
                        rotated_at=_NOW,
                    )
                    .returning(api_keys.c.old_expires_at)
                )
                old_expire_time = (await connection.execute(statement)).scalar_one()
                await record(connection, deed)
                await self._revocations.add(connection, RevocationKind.API_KEY, [api_key_id])
        self._revocations.announce()
        return Rotated(_key_of(row), old_expire_time)

    async def revoke(self, user_id: str, api_key_id: str, deed: Deed) -> bool:
        """See `ports.ApiKeys`."""
        locked = (
            select(api_keys.c.revoked_at)
            .where(api_keys.c.id == api_key_id, api_keys.c.user_id == user_id)
            .with_for_update()
        )
        with translated():
            async with self._database.engine.begin() as connection:
                await self._lock_person(connection, user_id)
                row = (await connection.execute(locked)).one_or_none()
                if row is None or row.revoked_at is not None:
                    return row is not None
                # Before the key ends, which may be the one that asks for it.
                await record(connection, deed)
                await connection.execute(
                    update(api_keys)
                    .where(api_keys.c.id == api_key_id)
                    .values(revoked_at=_NOW, old_secret=None)
                )
                await self._revocations.add(connection, RevocationKind.API_KEY, [api_key_id])
        self._revocations.announce()
        return True

    async def owner(self, public_id: str, digest: bytes) -> KeyOwner | None:
        """See `ports.ApiKeys`."""
        found: KeyOwner | None = None
        try:
            with translated():
                async with self._database.engine.begin() as connection:
                    statement = _OWNER.where(api_keys.c.public_id == public_id)
                    row = (await connection.execute(statement)).one_or_none()
                    found = _judge(row, digest)
                    if row is not None and found is not None and row.use_is_due:
                        await self._note_use(connection, row.id)
        except Unavailable:
            if found is None:
                raise
            _log.warning("The use of an API key could not be noted", exc_info=True)
        return found

    async def prune(self) -> int:
        """See `ports.ApiKeys`."""
        # The lesser of two ignores one that is null.
        end = func.least(api_keys.c.revoked_at, api_keys.c.expires_at)
        ended = (
            select(api_keys.c.id)
            .where(end <= func.now() - ENDED_KEYS_KEPT)
            .limit(_PRUNE_BATCH)
            .with_for_update(skip_locked=True)
        )
        superseded = (
            select(api_keys.c.id)
            .where(api_keys.c.old_secret.is_not(None), api_keys.c.old_expires_at <= func.now())
            .limit(_PRUNE_BATCH)
            .with_for_update(skip_locked=True)
        )
        forgotten = update(api_keys).where(api_keys.c.id.in_(superseded)).values(old_secret=None)
        with translated():
            async with self._database.engine.begin() as connection:
                keys = await connection.execute(delete(api_keys).where(api_keys.c.id.in_(ended)))
                secrets = await connection.execute(forgotten)
                return keys.rowcount + secrets.rowcount

    async def _lock_person(self, connection: AsyncConnection, user_id: str) -> bool:
        # Before the row of a key, as whoever deletes the person does; what is read afterwards, by statements of their own, is what
        # the one before has committed.
        person = select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)
        return await connection.scalar(person) is not None

    async def _note_use(self, connection: AsyncConnection, api_key_id: str) -> None:
        # Whoever holds the row notes a use itself, or changes the key: nobody who calls waits for that.
        due = (
            select(api_keys.c.id)
            .where(and_(api_keys.c.id == api_key_id, _USE_IS_DUE))
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        await connection.execute(update(api_keys).where(api_keys.c.id == due).values(last_used_at=_NOW))

    async def _take(self, connection: AsyncConnection, claim: Claim | None, resource_id: str) -> str:
        if claim is None:
            return resource_id
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, psycopg.AsyncConnection)
        return await self._claims.take(driver, claim, resource_id)

    async def _select(self, connection: AsyncConnection, user_id: str, api_key_id: str) -> ApiKey | None:
        statement = select(*_COLUMNS).where(api_keys.c.id == api_key_id, api_keys.c.user_id == user_id)
        row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _key_of(row)


def _judge(row: Row[*tuple[Any, ...]] | None, digest: bytes) -> KeyOwner | None:
    # An unknown key costs the same two comparisons as a known one.
    secret, old_secret = (_NO_DIGEST, None) if row is None else (bytes(row.secret), row.old_secret)
    is_current = hmac.compare_digest(secret, digest)
    is_old = hmac.compare_digest(bytes(old_secret or _NO_DIGEST), digest)
    if row is None or row.ended or row.disabled:
        return None
    role, scopes = Role(row.role), frozenset(row.scopes)
    if is_current:
        return KeyOwner(row.id, row.user_id, role, scopes, row.expires_at)
    if is_old and old_secret is not None and row.in_grace:
        return KeyOwner(row.id, row.user_id, role, scopes, row.old_expires_at, is_old=True)
    return None


def _key_of(row: Row[*tuple[Any, ...]]) -> ApiKey:
    return ApiKey(
        api_key_id=row.id,
        user_id=row.user_id,
        display_name=row.display_name,
        public_id=row.public_id,
        scopes=tuple(row.scopes),
        create_time=row.created_at,
        expire_time=row.expires_at,
        last_use_time=row.last_used_at,
        revoke_time=row.revoked_at,
    )
