"""What Auth needs for the feed of revocations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.capabilities.identity.revocations import Revocation


class RevocationTable(Protocol):
    """What was revoked, in the order in which it became visible: who has read an entry will never find one before it that is new.

    Entries are forgotten once no credential is left that they could be about, but neither deletions of people nor the last entry.
    """

    async def current(self, after: int, limit: int) -> Sequence[Revocation]:
        """At most `limit` entries after a position, in order: those that a credential can still be refused for, and the last of all."""
        ...

    async def after(self, position: int, limit: int) -> Sequence[Revocation]:
        """At most `limit` entries after a position, in order, all that are kept."""
        ...

    async def last(self) -> int:
        """The position of the last entry; 0 when there has been none."""
        ...
