"""What Auth needs for its audit trail."""

from __future__ import annotations

from typing import Protocol

from services.auth.model.audit import AuditEvent, Deed
from services.kernel.paging import Page, PageRequest


class AuditTrail(Protocol):
    """Who did what to which account. What a store changes it writes down in the same transaction; nothing changes or removes a line."""

    async def record(self, deed: Deed) -> None:
        """Write down what changed nothing in a store, such as a login that failed."""
        ...

    async def events(self, user_id: str, page: PageRequest) -> Page[AuditEvent]:
        """Lines about the account, or by it; all for an empty `user_id`. Newest first."""
        ...
