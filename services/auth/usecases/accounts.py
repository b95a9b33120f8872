"""What administrators do with accounts: ListUsers, GetUser, CreateUser, UpdateUser, DeleteUser."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

from services.auth.model.accounts import (
    AccountChanges,
    NewAccount,
    Role,
    User,
    canonical_password,
    checked_changes,
)
from services.auth.model.audit import Deed, Origin
from services.auth.ports.accounts import Accounts, PasswordRules, Passwords
from services.capabilities.claims.model import Claim, body_digest
from services.kernel.errors import NotFound
from services.kernel.ids import new_id
from services.kernel.paging import Page, PageTokens
from services.kernel.principal import Principal

_LIST = "auth.users"


@dataclass(frozen=True, slots=True)
class ListUsers:
    """Lists accounts."""

    accounts: Accounts
    tokens: PageTokens

    async def __call__(
        self, query: str, role: Role | None, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[User], str]:
        """A page of accounts and the token of the next one. Raises InvalidArgument for a foreign page token."""
        filter_ = (query, role.value if role else "")
        page = await self.accounts.list(
            query, role, self.tokens.request(page_size, page_token, skip, _LIST, filter_)
        )
        return page, self.tokens.token(page.after, _LIST, filter_)


@dataclass(frozen=True, slots=True)
class GetUser:
    """Gives one account."""

    accounts: Accounts

    async def __call__(self, user_id: str) -> User:
        """The account as it is now. Raises NotFound."""
        user = await self.accounts.get(user_id.lower())
        if user is None:
            raise NotFound.of("auth.user", user_id)
        return user


@dataclass(frozen=True, slots=True)
class NewUser:
    """The account that an administrator makes."""

    email: str
    role: Role
    password: str = field(repr=False)
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Makes an account with any role."""

    accounts: Accounts
    passwords: Passwords
    rules: PasswordRules
    claim_key: bytes = field(repr=False)

    async def __call__(self, caller: Principal, new: NewUser, origin: Origin) -> User:
        """The new account, or the one that the same `request_id` and body made before.

        Raises InvalidArgument, EmailTaken, AlreadyExists (REQUEST_ID_REUSED) and PasswordsOverloaded.
        """
        self.rules.check("password", new.password)
        claim = None
        if new.request_id:
            body = json.dumps([new.email, new.password, new.role.value]).encode()
            claim = Claim(f"auth.users:{caller.user_id}", new.request_id, body_digest(self.claim_key, body))
        account = NewAccount(
            user_id=new_id(),
            email=new.email.strip(),
            password_hash=await self.passwords.hash(canonical_password(new.password)),
            role=new.role,
        )
        deed = Deed("user.create", account.user_id, origin, {"role": new.role.value})
        return await self.accounts.add(account, deed, claim)


@dataclass(frozen=True, slots=True)
class UpdateUser:
    """Changes an account."""

    accounts: Accounts

    async def __call__(self, user_id: str, changes: AccountChanges, origin: Origin) -> User:
        """The account as it is now. Raises InvalidArgument, NotFound, UsernameTaken and LastAdministrator."""
        deed = Deed("user.update", user_id.lower(), origin)
        user = await self.accounts.update(deed.user_id, checked_changes(changes), deed)
        if user is None:
            raise NotFound.of("auth.user", user_id)
        return user


@dataclass(frozen=True, slots=True)
class UpdateProfile:
    """Changes the caller's own account."""

    accounts: Accounts

    async def __call__(self, caller: Principal, changes: AccountChanges, origin: Origin) -> User:
        """The account as it is now. `changes` has neither role nor `disabled`. Raises InvalidArgument, UsernameTaken, and NotFound for
        people of a foreign issuer."""
        changes = dataclasses.replace(changes, role=None, disabled=None)
        deed = Deed("user.update", caller.user_id, origin)
        user = await self.accounts.update(caller.user_id, checked_changes(changes), deed)
        if user is None:
            raise NotFound.of("auth.user", caller.user_id)
        return user


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """Removes an account, and with it what the person made in every service."""

    accounts: Accounts

    async def __call__(self, user_id: str, origin: Origin) -> None:
        """Raises NotFound and LastAdministrator."""
        if not await self.accounts.delete(user_id.lower(), Deed("user.delete", user_id.lower(), origin)):
            raise NotFound.of("auth.user", user_id)
