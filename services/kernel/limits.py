"""The door between the runtime and whoever counts calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.kernel.errors import QuotaViolation, ResourceExhausted
from services.kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class Allowance:
    """Where a caller stands with a limit: `limit` calls in a window, `remaining` of them after this one, and seconds until a new
    window may begin."""

    limit: int
    remaining: int
    reset_after: float


class RateLimited(ResourceExhausted):
    """A caller has made as many calls as its limit allows; `allowance` says when the next one may come."""

    reason = "RATE_LIMITED"

    def __init__(self, message: str, *, name: str, quota: QuotaViolation, allowance: Allowance) -> None:
        super().__init__(message, metadata={"limit": name}, quota=quota, retry_after=allowance.reset_after)
        self.allowance = allowance


class AccountLimit(Protocol):
    """How often an account may be named from one address."""

    field: str
    """The text field of requests that names the account."""

    async def take(self, address: str, account: str) -> Allowance | None:
        """As `Limit.take`; `account` is what the field holds, whatever was sent."""
        ...


class Limit(Protocol):
    """The limit of one class of RPCs."""

    account: AccountLimit | None
    """What counts a call once more when its message was read; None for most classes."""

    async def take(self, principal: Principal, address: str) -> Allowance | None:
        """Count a call of this caller; None when it is one that nobody counts, or that can't be counted now and passes, or of which
        `account` tells where it stands.

        `address` is the caller's. Raises RateLimited, and then the call does not count; Unavailable when it can't be counted now and so
        must not pass. What is counted stays counted when this is cancelled.
        """
        ...


class RateLimits(Protocol):
    """The limits of a service."""

    def of(self, name: str) -> Limit | None:
        """The limit of a class that the contract names, None when it is off. Raises StartupError for a class that nobody knows."""
        ...
