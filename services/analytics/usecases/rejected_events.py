"""ListRejectedEvents."""

from __future__ import annotations

from dataclasses import dataclass

from services.analytics.model.events import RejectedEvent
from services.analytics.ports import UsageStore
from services.kernel.paging import Page, PageTokens


@dataclass(frozen=True, slots=True)
class ListRejectedEvents:
    """Lists bad items."""

    store: UsageStore
    tokens: PageTokens

    async def __call__(self, page_size: int, page_token: str, skip: int) -> tuple[Page[RejectedEvent], str]:
        """A page, and the token of the next one. Raises InvalidArgument and Unavailable."""
        request = self.tokens.request(page_size, page_token, skip, "rejected events", ())
        page = await self.store.rejected(request)
        return page, self.tokens.token(page.after, "rejected events", ())
