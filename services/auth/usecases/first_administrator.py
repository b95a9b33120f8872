"""The administrator whom the first start makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.auth.errors import EmailTaken
from services.auth.model.accounts import FirstAdministrator, NewAccount, Role
from services.auth.ports.accounts import Passwords, Setup
from services.auth.usecases.random_password import random_password
from services.kernel.ids import new_id
from services.kernel.startup import StartupError


class EnsureAdministrator:
    """Makes an administrator when a deployment has none.

    The account is marked until its password has been shown. A start that dies in between leaves the mark, and the next one
    gives the account a new password and shows that; so no password is lost, and none is shown twice.
    """

    def __init__(self, setup: Setup, passwords: Passwords) -> None:
        self._setup = setup
        self._passwords = passwords

    @asynccontextmanager
    async def __call__(self, email: str) -> AsyncIterator[FirstAdministrator | None]:
        """Inside: the new administrator, already able to log in, or None when there is nothing to show.

        Show the password inside; leaving without an exception says that it was shown. Other processes that start meanwhile get
        None. Raises StartupError when the e-mail is that of an ordinary account.
        """
        if not await self._setup.needs_administrator():
            yield None
            return
        async with self._setup.alone() as alone:
            if not alone:
                yield None
                return
            password = random_password()
            account = NewAccount(
                user_id=new_id(),
                email=email,
                password_hash=await self._passwords.hash(password),
                display_name="Administrator",
                role=Role.ADMIN,
            )
            try:
                user_id = await self._setup.put_administrator(account)
            except EmailTaken:
                raise StartupError(
                    f"There is no administrator yet, and {email} belongs to an ordinary account.",
                    "Set ANTIPHON_ADMIN_EMAIL to another e-mail.",
                ) from None
            yield None if user_id is None else FirstAdministrator(email, password)
            if user_id is not None:
                await self._setup.password_was_shown(user_id)
