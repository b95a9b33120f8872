"""The first start of a deployment, in PostgreSQL."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from sqlalchemy import exists, func, select, update

from services.auth.errors import EmailTaken
from services.auth.model.accounts import NewAccount, Role, folded
from services.auth.model.audit import COMMAND_LINE, Deed
from services.auth.stores.accounts import insert_account
from services.auth.stores.audit import record
from services.auth.stores.tables import users
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated

_LOCK_KEY = 0x61757468_61646D6E  # "authadmn" in ASCII: the number that all replicas agree on
_ADMINISTRATOR = users.c.role == Role.ADMIN.value
_SETTLED = exists().where(_ADMINISTRATOR, users.c.password_shown)


class SqlSetup:
    """`ports.Setup` over the table `users` and an advisory lock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def needs_administrator(self) -> bool:
        """See `ports.Setup`."""
        with translated():
            async with self._database.engine.connect() as connection:
                return not await connection.scalar(select(_SETTLED))

    def alone(self) -> AbstractAsyncContextManager[bool]:
        """See `ports.Setup`."""
        return self._database.alone(_LOCK_KEY)

    async def put_administrator(self, account: NewAccount) -> str | None:
        """See `ports.Setup`."""
        with translated():
            async with self._database.engine.begin() as connection:
                # Who logs in, or chooses a password, at this moment does so before or after.
                earlier = await connection.scalar(
                    select(users.c.id)
                    .where(_ADMINISTRATOR)
                    .order_by(users.c.id)
                    .limit(1)
                    .with_for_update(key_share=True)
                )
                if await connection.scalar(select(_SETTLED)):
                    return None
                if earlier is None:
                    made = await insert_account(connection, account, password_shown=False)
                    await record(
                        connection,
                        Deed("user.create", made.user_id, COMMAND_LINE, {"role": account.role.value}),
                    )
                    return made.user_id
                email_key = folded(account.email)
                taken = exists().where(users.c.email_key == email_key, users.c.id != earlier)
                if await connection.scalar(select(taken)):
                    raise EmailTaken
                await connection.execute(
                    update(users)
                    .where(users.c.id == earlier)
                    .values(
                        email=account.email,
                        email_key=email_key,
                        password_hash=account.password_hash,
                        updated_at=func.now(),
                    )
                )
                await record(connection, Deed("user.reset_password", str(earlier), COMMAND_LINE))
                return str(earlier)

    async def password_was_shown(self, user_id: str) -> None:
        """See `ports.Setup`."""
        with translated():
            async with self._database.engine.begin() as connection:
                await connection.execute(
                    update(users).where(users.c.id == user_id).values(password_shown=True)
                )
