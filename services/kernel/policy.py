"""Who may call an RPC, and how: the contract's policy option as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Access(Enum):
    """The least that a caller must be; the numbers are those of antiphon.options.v1.Access."""

    PUBLIC = 1
    OPTIONAL = 2
    USER = 3
    ADMIN = 4
    SERVICE = 5


@dataclass(frozen=True, slots=True)
class Policy:
    """An RPC's policy. `scope` is what an API key needs (empty: nothing), `limit` the class of limits (empty: none),
    `meter` the number of the antiphon.usage.v1.ServiceType that calls are metered as (0: they are not)."""

    access: Access
    scope: str
    limit: str
    idempotent: bool
    meter: int = 0
