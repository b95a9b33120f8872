"""What Auth needs for login sessions."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from services.auth.model.accounts import Role
from services.auth.model.audit import Deed, Origin
from services.auth.model.sessions import AccessToken, LoginSession, NewSession, Refreshed, Successor
from services.kernel.paging import Page, PageRequest


class Sessions(Protocol):
    """Login sessions: families of refresh tokens, of which at most one is good. Times are the store's own clock's.

    What happens to one person's sessions happens in one order, in however many processes.
    """

    async def open(
        self, session: NewSession, verified_hash: str, deed: Deed, new_hash: str | None = None
    ) -> Refreshed | None:
        """Open a session for who has proved to know the password behind `verified_hash`, which then needs to be shown to nobody any
        more (`ports.Setup`); `new_hash` takes its place if given.

        The verdict is ROTATED, or DISABLED for a disabled account, which gets none. None when the account is gone or its
        password has been changed since.
        """
        ...

    async def refresh(
        self, presented: bytes, successor: Successor, grace: timedelta, origin: Origin
    ) -> Refreshed | None:
        """Judge (`model.sessions.judge`) the refresh token of this digest and act on it, as one step.

        ROTATED: `successor` has taken its place. REPLAYED: what has been put in its place before is given again, with what has been
        put in that one's place since, up to the living one (`MOST_REPLAYED` of them at most), and `successor` is forgotten. REUSED,
        also where the living one can't be found in this way: its whole session is revoked, which every process learns, and the audit
        trail has it. Otherwise nothing changes. None for an unknown token.
        """
        ...

    async def revoke(self, presented: bytes, origin: Origin) -> None:
        """Revoke the session that a refresh token belongs to or belonged to; every process learns of it. Does nothing for an unknown
        or revoked one."""
        ...

    async def list(self, user_id: str, page: PageRequest) -> Page[LoginSession]:
        """A person's login sessions that are neither revoked nor expired, newest first."""
        ...

    async def end(self, user_id: str, session_id: str, deed: Deed) -> bool:
        """Revoke one session of a person; every process learns of it. False without such a session; ending it again does nothing."""
        ...

    async def change_password(
        self, user_id: str, verified_hash: str | None, new_hash: str, kept_session_id: str, deed: Deed
    ) -> bool:
        """Put `new_hash` in the password's place and revoke the person's sessions but the kept one (empty: none is), as one step.

        False, and nothing done, when the account is gone or its hash is not `verified_hash` (None: whatever it is) any more.
        """
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

    async def sign(self, user_id: str, session_id: str, role: Role, revision: int) -> AccessToken:
        """A token for one login session of a person, whose last revocation is `revision`."""
        ...


class LoginAttempts(Protocol):
    """Failed logins, by account and by address, shared by all processes; it forgets, and does not grow without bound.

    An account that does not exist counts like one that does. `account` is a folded e-mail; an empty `address` does not count, one of
    IPv6 counts by its /64. Failures are forgotten 15 minutes after the last one, or, if that is longer, after twice the longest delay
    (`DelayRule.memory`). Passwords tried at once are worth no more than passwords tried one after the other: what comes out once a
    delay has begun is answered with the delay, right or wrong.
    """

    async def delay(self, account: str, address: str) -> float:
        """Seconds for which no login of the account, or from the address, is looked at; 0 when one is."""
        ...

    async def failed(self, account: str, address: str) -> float:
        """Count a wrong password, and give 0: from the fifth on, each doubles the delay, from 1 s up to 60 s.

        Others may have failed meanwhile, so that there is a delay: its seconds, and nothing is counted for whom it holds up.
        """
        ...

    async def succeeded(self, account: str, address: str) -> float:
        """Forget the account's failures, and give 0; unless others have failed meanwhile, so that there is a delay: its seconds."""
        ...

    async def forget(self, account: str) -> None:
        """Forget the account's failures with their delay: it has another password now."""
        ...
