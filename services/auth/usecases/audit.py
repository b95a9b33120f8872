"""ListAuditEvents."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.model.audit import AuditEvent
from services.auth.ports.audit import AuditTrail
from services.kernel.paging import Page, PageTokens

_LIST = "auth.audit"


@dataclass(frozen=True, slots=True)
class ListAuditEvents:
    """Reads the audit trail."""

    trail: AuditTrail
    tokens: PageTokens

    async def __call__(
        self, user_id: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[AuditEvent], str]:
        """A page of lines, newest first, and the token of the next one. Raises InvalidArgument for a foreign page token."""
        user_id = user_id.lower()
        request = self.tokens.request(page_size, page_token, skip, _LIST, (user_id,))
        page = await self.trail.events(user_id, request)
        return page, self.tokens.token(page.after, _LIST, (user_id,))
