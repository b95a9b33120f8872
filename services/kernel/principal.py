"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a caller is."""

    ANONYMOUS = "anonymous"
    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, as far as its credential proves.

    `user_id` is empty for anonymous callers, and for services that act for nobody. `scopes` is None for credentials that have
    all scopes of their role; API keys have a set. `service` names the calling service. `expire_time` is in Unix seconds,
    0 for credentials that do not expire.
    `revision` is the position in the feed of revocations from which an API key was looked up.
    """

    kind: Kind
    user_id: str = ""
    session_id: str = ""
    api_key_id: str = ""
    service: str = ""
    scopes: frozenset[str] | None = None
    expire_time: float = 0.0
    revision: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.kind in (Kind.USER, Kind.ADMIN) and not self.user_id:
            raise ValueError("a user or administrator has a user_id")
        if self.kind is Kind.SERVICE and not self.service:
            raise ValueError("a service has a name")

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing is known of the caller."""
        return self.kind is Kind.ANONYMOUS

    @property
    def is_admin(self) -> bool:
        """Whether the caller may act on everybody's resources."""
        return self.kind is Kind.ADMIN


ANONYMOUS = Principal(Kind.ANONYMOUS)
