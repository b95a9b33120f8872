"""What is no longer to be trusted, as a feed that every process follows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class RevocationKind(Enum):
    """What was revoked, as the table spells it."""

    SESSION = "session"
    USER = "user"
    USER_DELETED = "user_deleted"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Revocation:
    """An entry of the feed. `position` grows from entry to entry, in the order in which they became visible.

    `subject_id` is the session's, user's or key's. Times are in Unix seconds; after `expire_time` no credential is left that it
    could be about.
    """

    position: int
    kind: RevocationKind
    subject_id: str
    revoke_time: float
    expire_time: float


@dataclass(frozen=True, slots=True)
class Synced:
    """All that had happened before the watcher came has been given."""

    position: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing is missing up to now. Comes at least every second while the source itself is up to date."""


SILENT_SECONDS = 3.0
"""After this without a word the feed counts as lost, which health says."""

FeedItem = Revocation | Synced | Heartbeat
