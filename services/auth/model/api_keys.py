"""API keys: what programs of a person call with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.auth.model.accounts import Role

DEFAULT_GRACE = timedelta(hours=1)
"""How long the old secret of a rotated key is accepted, unless its owner asks for another time."""

MOST_KEYS = 100
"""How many keys a person may have that are neither revoked nor expired."""

ENDED_KEYS_KEPT = timedelta(days=90)
"""How long a key that was revoked or has expired is still listed."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its owner sees it. `public_id` is the part of it that may be shown. Times are None where there is none."""

    api_key_id: str
    user_id: str
    display_name: str
    public_id: str
    scopes: tuple[str, ...]
    create_time: datetime
    expire_time: datetime | None = None
    last_use_time: datetime | None = None
    revoke_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key to be made. `digest` is the SHA-256 of the whole key."""

    api_key_id: str
    user_id: str
    display_name: str
    public_id: str
    scopes: tuple[str, ...]
    digest: bytes = field(repr=False)
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """A whole key, its public part, and the SHA-256 that is kept of it."""

    text: str = field(repr=False)
    public_id: str
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """What a good key proves: itself, and who owns it. `expire_time` is when its text stops being accepted: for an old secret
    (`is_old`), the end of its grace."""

    api_key_id: str
    user_id: str
    role: Role
    scopes: frozenset[str]
    expire_time: datetime | None
    is_old: bool = False


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key with a new secret, and when the old one stops being accepted. `repeated` calls gave no new secret."""

    key: ApiKey
    old_expire_time: datetime
    repeated: bool = False
