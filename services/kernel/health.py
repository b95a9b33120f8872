"""What a service needs in order to be ready."""

from __future__ import annotations

from typing import Protocol


class HealthCheck(Protocol):
    """Something real that a service depends on, such as its database."""

    name: str

    async def check(self) -> str | None:
        """None when it works; otherwise what is wrong, in words for an operator, without secrets. Bounded to a few seconds, never raises
        but CancelledError."""
        ...
