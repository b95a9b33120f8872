"""What Auth needs from others, as promises. Any call may raise Unavailable when the store can't be reached."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from services.auth.model import (
    AccessToken,
    Account,
    NewAccount,
    NewSession,
    PublicKey,
    Refreshed,
    Role,
    SealedKey,
    Successor,
    User,
)
from services.capabilities.claims.model import Claim
from services.kernel.health import HealthCheck


class Accounts(Protocol):
    """The accounts."""

    async def add(self, account: NewAccount, claim: Claim | None = None) -> User:
        """Make an account, in one transaction with its claim.

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


class Sessions(Protocol):
    """Login sessions: families of refresh tokens, of which at most one is good. Times are the store's own clock's.

    What happens to one person's sessions happens in one order, in however many processes.
    """

    async def open(
        self, session: NewSession, verified_hash: str, new_hash: str | None = None
    ) -> Refreshed | None:
        """Open a session for who has proved to know the password behind `verified_hash`; `new_hash` takes its place if given.

        The verdict is ROTATED, or DISABLED for a disabled account, which gets none. None when the account is gone or its
        password has been changed since.
        """
        ...

    async def refresh(self, presented: bytes, successor: Successor, grace: timedelta) -> Refreshed | None:
        """Judge (`model.judge`) the refresh token of this digest and act on it, as one step.

        ROTATED: `successor` has taken its place. REPLAYED: what has been put in its place before is given again, and `successor`
        is forgotten. REUSED: its whole session is revoked. Otherwise nothing changes. None for an unknown token.
        """
        ...

    async def revoke(self, presented: bytes) -> None:
        """Revoke the session that a refresh token belongs to or belonged to. Does nothing for an unknown or revoked one."""
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
        nobody was shown and who never logged in is given the new e-mail and password instead. None, and nothing done, when
        there is an administrator already. Raises EmailTaken when the e-mail is that of another account."""
        ...

    async def password_was_shown(self, user_id: str) -> None:
        """Note that somebody has been shown the password."""
        ...


class SigningKeys(Protocol):
    """The signing keys, private halves sealed."""

    async def all(self) -> Sequence[SealedKey]:
        """Every key, the active one first."""
        ...

    async def add_first(self, active: SealedKey, following: SealedKey) -> None:
        """Store the first two keys, both or none: nothing happens when there is an active one, made by another process maybe."""
        ...


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Whether the password was right, and whether its hash was made with settings that are no longer used."""

    correct: bool
    outdated: bool = False


class Passwords(Protocol):
    """Hashes passwords beside the event loop. Both methods raise PasswordsOverloaded at once when too many wait."""

    async def hash(self, password: str) -> str:
        """A salted hash, at most 255 characters."""
        ...

    async def check(self, password_hash: str | None, password: str) -> PasswordCheck:
        """Compare; without a hash the answer is no, at the same cost."""
        ...


class RefreshTokens(Protocol):
    """Makes refresh tokens: opaque, 256 bits."""

    def make(self) -> str:
        """A new token."""
        ...

    def digest(self, token: str) -> bytes:
        """The SHA-256 that stands for it in the store. Raises RefreshTokenInvalid for what can't be one."""
        ...

    def seal(self, successor: str, presented: str) -> bytes:
        """Encrypt the successor so that only who has the presented token can read it."""
        ...

    def unseal(self, sealed: bytes, presented: str) -> str:
        """The successor that was sealed for the presented token. Raises RefreshTokenInvalid when it was another one."""
        ...


class AccessTokens(Protocol):
    """Signs access tokens."""

    async def sign(self, user_id: str, session_id: str, role: Role) -> AccessToken:
        """A token for one login session of a person."""
        ...


class PublicKeys(Protocol):
    """What access tokens are checked with."""

    async def published(self) -> Sequence[PublicKey]:
        """Keys that sign, signed, or will sign."""
        ...


class KeyRing(PublicKeys, HealthCheck, Protocol):
    """The signing keys of the deployment, ready for use."""

    async def signing_key(self) -> tuple[str, object]:
        """The active key: its id and its private half. Raises Unavailable when there is none."""
        ...
