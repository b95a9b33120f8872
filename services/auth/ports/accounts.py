"""What Auth needs for accounts."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.auth.model.accounts import Account, AccountChanges, NewAccount, Role, User
from services.auth.model.audit import Deed
from services.capabilities.claims.model import Claim
from services.kernel.paging import Page, PageRequest


class Accounts(Protocol):
    """The accounts."""

    async def add(self, account: NewAccount, deed: Deed, claim: Claim | None = None) -> User:
        """Make an account, in one transaction with its claim and the line in the audit trail.

        A claim that is held already, with the same digest, gives the account that was made then and makes none; two calls
        at once with one claim give one account. Raises AlreadyExists (REQUEST_ID_REUSED) for another digest, EmailTaken,
        UsernameTaken (e-mail first), and NotFound when the account made then is gone. What failed leaves no claim.
        """
        ...

    async def with_email(self, email: str) -> Account | None:
        """The account of this e-mail, whatever its case and Unicode form; None without one."""
        ...

    async def get(self, user_id: str) -> User | None:
        """An account; None without one."""
        ...

    async def with_id(self, user_id: str) -> Account | None:
        """An account with what its password is checked against; None without one."""
        ...

    async def list(self, query: str, role: Role | None, page: PageRequest) -> Page[User]:
        """Accounts whose e-mail, username or display name has `query` in it, ignoring case, and that have the role if one is given.
        Newest first, with the total."""
        ...

    async def update(self, user_id: str, changes: AccountChanges, deed: Deed) -> User | None:
        """Change an account as one step, and tell how it is now; None without one.

        A role or `disabled` that becomes another one revokes what the person holds (RevocationKind.USER); disabling also ends the
        person's login sessions, for good. What stays as it was changes nothing, and the trail tells what does (`AccountChanges.told`):
        of no change, it has no line. Raises UsernameTaken, and LastAdministrator rather than leave no administrator that can log in, also when two calls
        try that at once.
        """
        ...

    async def delete(self, user_id: str, deed: Deed) -> bool:
        """Remove an account with its sessions and keys, and tell every service (RevocationKind.USER_DELETED). False without one.

        Raises LastAdministrator, as `update` does.
        """
        ...


class Setup(Protocol):
    """The first start of a deployment."""

    async def needs_administrator(self) -> bool:
        """Whether there is no administrator, or only one whose password nobody was shown."""
        ...

    def alone(self) -> AbstractAsyncContextManager[bool]:
        """True inside for one process of the deployment at a time, False for the others. It ends with the process."""
        ...

    async def put_administrator(self, account: NewAccount) -> str | None:
        """Make the first administrator with a password that is to be shown, and give its user id; an earlier one whose password
        nobody was shown, and who never logged in or chose one, is given the new e-mail and password instead. None, and nothing done, when
        there is an administrator already. Raises EmailTaken when the e-mail is that of another account."""
        ...

    async def password_was_shown(self, user_id: str) -> None:
        """Note that somebody has been shown the password."""
        ...


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Whether the password was right, and whether its hash was made with settings that are no longer used."""

    correct: bool
    outdated: bool = False


class PasswordRules(Protocol):
    """Which new passwords are allowed, besides the lengths that the contract states."""

    def check(self, field: str, password: str) -> None:
        """Raises InvalidArgument for `field` when the password is too common, in whatever case, or can't be stored."""
        ...


class Passwords(Protocol):
    """Hashes passwords beside the event loop. Both methods raise PasswordsOverloaded at once when too many wait."""

    async def hash(self, password: str) -> str:
        """A salted hash, at most 255 characters."""
        ...

    async def check(self, password_hash: str | None, password: str) -> PasswordCheck:
        """Compare; without a hash the answer is no, at the same cost."""
        ...
