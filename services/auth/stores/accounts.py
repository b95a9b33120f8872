"""Accounts in PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import Row, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.errors import EmailTaken, UsernameTaken
from services.auth.model import Account, NewAccount, Role, User, folded
from services.auth.stores.tables import SCHEMA, users
from services.capabilities.claims.model import Claim
from services.capabilities.claims.sql import SqlClaims
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.errors import NotFound

USER_COLUMNS = (
    users.c.id,
    users.c.email,
    users.c.username,
    users.c.display_name,
    users.c.role,
    users.c.disabled,
    users.c.created_at,
    users.c.updated_at,
)


def user_of(row: Row[*tuple[Any, ...]]) -> User:
    """The account in a row that has USER_COLUMNS."""
    return User(
        user_id=row.id,
        email=row.email,
        username=row.username or "",
        display_name=row.display_name,
        role=Role(row.role),
        disabled=row.disabled,
        create_time=row.created_at,
        update_time=row.updated_at,
    )


async def insert_account(
    connection: AsyncConnection, account: NewAccount, *, password_shown: bool = True
) -> User:
    """Insert a row, or raise EmailTaken or UsernameTaken and leave the transaction usable."""
    email_key, username_key = folded(account.email), folded(account.username) or None
    values = {
        "id": account.user_id,
        "email": account.email,
        "email_key": email_key,
        "username": account.username or None,
        "username_key": username_key,
        "display_name": account.display_name,
        "password_hash": account.password_hash,
        "password_shown": password_shown,
        "role": account.role.value,
        "disabled": False,
        "created_at": func.now(),
        "updated_at": func.now(),
    }
    statement = insert(users).values(values).on_conflict_do_nothing().returning(*USER_COLUMNS)
    row = (await connection.execute(statement)).one_or_none()
    if row is not None:
        return user_of(row)
    if await connection.scalar(select(exists().where(users.c.email_key == email_key))):
        raise EmailTaken
    raise UsernameTaken


class SqlAccounts:
    """`ports.Accounts` over the tables `users` and `claims`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims = SqlClaims(SCHEMA)

    async def add(self, account: NewAccount, claim: Claim | None = None) -> User:
        """See `ports.Accounts`."""
        with translated():
            async with self._database.engine.begin() as connection:
                if claim is None:
                    return await insert_account(connection, account)
                driver = (await connection.get_raw_connection()).driver_connection
                assert isinstance(driver, psycopg.AsyncConnection)
                holder = await self._claims.take(driver, claim, account.user_id)
                if holder == account.user_id:
                    return await insert_account(connection, account)
                found = await self._select(connection, holder)
        if found is None:
            raise NotFound.of("auth.user", holder)
        return found

    async def with_email(self, email: str) -> Account | None:
        """See `ports.Accounts`."""
        key = folded(email)
        # PostgreSQL's text can't hold this character, so no account has it.
        if "\0" in key:
            return None
        statement = select(*USER_COLUMNS, users.c.password_hash).where(users.c.email_key == key)
        with translated():
            async with self._database.engine.connect() as connection:
                row = (await connection.execute(statement)).one_or_none()
        return None if row is None else Account(user_of(row), row.password_hash)

    async def get(self, user_id: str) -> User | None:
        """See `ports.Accounts`."""
        with translated():
            async with self._database.engine.connect() as connection:
                return await self._select(connection, user_id)

    async def _select(self, connection: AsyncConnection, user_id: str) -> User | None:
        row = (await connection.execute(select(*USER_COLUMNS).where(users.c.id == user_id))).one_or_none()
        return None if row is None else user_of(row)


async def replace_password(connection: AsyncConnection, user_id: str, password_hash: str) -> None:
    """Set a new hash of the same password."""
    await connection.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))
