"""Accounts in PostgreSQL.

The person's row is locked first, then, by who takes an administrator away, the lock of administrators, and that of revocations last.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from typing import Any

import psycopg
from sqlalchemy import ColumnElement, Row, delete, exists, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.errors import EmailTaken, LastAdministrator, UsernameTaken
from services.auth.model.accounts import Account, AccountChanges, NewAccount, Role, User, folded
from services.auth.model.audit import Deed
from services.auth.stores.audit import record
from services.auth.stores.ended_sessions import end_sessions
from services.auth.stores.revocations import SqlRevocations
from services.auth.stores.tables import SCHEMA, sessions, users
from services.capabilities.claims.model import Claim
from services.capabilities.claims.sql import SqlClaims
from services.capabilities.identity.revocations import RevocationKind
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.errors import NotFound
from services.kernel.paging import Page, PageRequest

_ADMINISTRATORS_LOCK = 0x61757468_6C617374  # "authlast" in ASCII: the number that all replicas agree on
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
    if username_key is None or await connection.scalar(
        select(exists().where(users.c.email_key == email_key))
    ):
        raise EmailTaken
    raise UsernameTaken


class SqlAccounts:
    """`ports.Accounts` over the tables `users` and `claims`."""

    def __init__(self, database: Database, revocations: SqlRevocations) -> None:
        self._database = database
        self._revocations = revocations
        self._claims = SqlClaims(SCHEMA)

    async def add(self, account: NewAccount, deed: Deed, claim: Claim | None = None) -> User:
        """See `ports.Accounts`."""
        with translated():
            async with self._database.engine.begin() as connection:
                if claim is None:
                    return await _add(connection, account, deed)
                driver = (await connection.get_raw_connection()).driver_connection
                assert isinstance(driver, psycopg.AsyncConnection)
                holder = await self._claims.take(driver, claim, account.user_id)
                if holder == account.user_id:
                    return await _add(connection, account, deed)
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

    async def with_id(self, user_id: str) -> Account | None:
        """See `ports.Accounts`."""
        statement = select(*USER_COLUMNS, users.c.password_hash).where(users.c.id == user_id)
        with translated():
            async with self._database.engine.connect() as connection:
                row = (await connection.execute(statement)).one_or_none()
        return None if row is None else Account(user_of(row), row.password_hash)

    async def list(self, query: str, role: Role | None, page: PageRequest) -> Page[User]:
        """See `ports.Accounts`."""
        # PostgreSQL's text can't hold this character, so no account has it.
        if "\0" in query:
            return Page([])
        wanted = [] if role is None else [users.c.role == role.value]
        wanted += _matches(query)
        later = wanted if page.after is None else [*wanted, users.c.id < page.after]
        rows_wanted = (
            select(*USER_COLUMNS)
            .where(*later)
            .order_by(users.c.id.desc())
            .limit(page.size + 1)
            .offset(page.skip)
        )
        count = select(func.count()).select_from(users).where(*wanted)
        with translated():
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(rows_wanted)).all()
                total = await connection.scalar(count)
        found = [user_of(row) for row in rows[: page.size]]
        return Page(found, found[-1].user_id if len(rows) > page.size else None, total or 0)

    async def update(self, user_id: str, changes: AccountChanges, deed: Deed) -> User | None:
        """See `ports.Accounts`."""
        locked = select(*USER_COLUMNS).where(users.c.id == user_id).with_for_update(key_share=True)
        with translated():
            async with self._database.engine.begin() as connection:
                row = (await connection.execute(locked)).one_or_none()
                if row is None:
                    return None
                before = user_of(row)
                changes = changes.of(before)
                if changes.nothing:
                    return before
                mistrusted = changes.role is not None or changes.disabled is not None
                if before.administers and mistrusted:
                    await _keep_an_administrator(connection, user_id)
                # First, as who changes their own role or disables themselves is still who they were.
                await record(connection, dataclasses.replace(deed, attributes=changes.told))
                after = await _change(connection, before, changes)
                if changes.disabled is not None:
                    # They must not come back with the account, whatever version disabled it.
                    await end_sessions(connection, sessions.c.user_id == user_id)
                if mistrusted:
                    await self._revocations.add(connection, RevocationKind.USER, [user_id])
        if mistrusted:
            self._revocations.announce()
        return after

    async def delete(self, user_id: str, deed: Deed) -> bool:
        """See `ports.Accounts`. Claims that stand for the account stay, so that a late retry does not make it anew."""
        # Not only its changes are kept out, but also new keys and sessions that refer to it.
        locked = select(*USER_COLUMNS).where(users.c.id == user_id).with_for_update()
        with translated():
            async with self._database.engine.begin() as connection:
                row = (await connection.execute(locked)).one_or_none()
                if row is None:
                    return False
                if user_of(row).administers:
                    await _keep_an_administrator(connection, user_id)
                await record(connection, deed)
                await connection.execute(delete(users).where(users.c.id == user_id))
                await self._revocations.add(connection, RevocationKind.USER_DELETED, [user_id])
        self._revocations.announce()
        return True

    async def _select(self, connection: AsyncConnection, user_id: str) -> User | None:
        row = (await connection.execute(select(*USER_COLUMNS).where(users.c.id == user_id))).one_or_none()
        return None if row is None else user_of(row)


async def _add(connection: AsyncConnection, account: NewAccount, deed: Deed) -> User:
    made = await insert_account(connection, account)
    await record(connection, deed)
    return made


async def _change(connection: AsyncConnection, user: User, changes: AccountChanges) -> User:
    """Write the changes, and give the account as it is then. Raises UsernameTaken, which ends the transaction."""
    values: dict[str, object] = {}
    if changes.username is not None:
        values |= {"username": changes.username or None, "username_key": folded(changes.username) or None}
    if changes.display_name is not None:
        values["display_name"] = changes.display_name
    if changes.role is not None:
        values["role"] = changes.role.value
    if changes.disabled is not None:
        values["disabled"] = changes.disabled
    values["updated_at"] = func.clock_timestamp()
    statement = update(users).where(users.c.id == user.user_id).values(values).returning(*USER_COLUMNS)
    try:
        return user_of((await connection.execute(statement)).one())
    except IntegrityError as error:
        if isinstance(error.orig, psycopg.errors.UniqueViolation):
            raise UsernameTaken from None
        raise


async def _keep_an_administrator(connection: AsyncConnection, user_id: str) -> None:
    """Raises LastAdministrator unless another one than this person can log in. Who takes one away waits here for whoever else
    does, and then sees, by a statement of its own, what that left."""
    await connection.execute(select(func.pg_advisory_xact_lock(_ADMINISTRATORS_LOCK)))
    another = exists().where(
        users.c.role == Role.ADMIN.value, users.c.disabled.is_(False), users.c.id != user_id
    )
    if not await connection.scalar(select(another)):
        raise LastAdministrator


def _matches(query: str) -> list[ColumnElement[bool]]:
    """The condition that e-mail, username or display name has the text in it; none for nothing but space."""
    key = folded(query)
    if not key:
        return []
    name = func.normalize(users.c.display_name, literal_column("NFKC"))
    text = unicodedata.normalize("NFKC", query).strip()
    return [
        or_(
            users.c.email_key.contains(key, autoescape=True),
            users.c.username_key.contains(key, autoescape=True),
            name.icontains(text, autoescape=True),
        )
    ]
