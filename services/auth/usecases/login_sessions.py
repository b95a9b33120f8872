"""A person's login sessions: ListSessions, RevokeSession."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.model.audit import Deed, Origin
from services.auth.model.sessions import LoginSession
from services.auth.ports.sessions import Sessions
from services.kernel.errors import NotFound
from services.kernel.ownership import whose
from services.kernel.paging import Page, PageTokens
from services.kernel.principal import Principal

_LIST = "auth.sessions"


@dataclass(frozen=True, slots=True)
class ListSessions:
    """Lists login sessions."""

    sessions: Sessions
    tokens: PageTokens

    async def __call__(
        self, caller: Principal, user_id: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[LoginSession], str]:
        """A page of the caller's sessions, or of another person's for administrators, and the token of the next one.

        Raises PermissionDenied, and InvalidArgument for a foreign page token.
        """
        owner = whose(caller, user_id)
        request = self.tokens.request(page_size, page_token, skip, _LIST, (owner,))
        page = await self.sessions.list(owner, request)
        return page, self.tokens.token(page.after, _LIST, (owner,))


@dataclass(frozen=True, slots=True)
class RevokeSession:
    """Ends a login session."""

    sessions: Sessions

    async def __call__(self, caller: Principal, session_id: str, user_id: str, origin: Origin) -> None:
        """Ends it, also in every other process. Raises PermissionDenied and NotFound."""
        owner = whose(caller, user_id)
        if not await self.sessions.end(owner, session_id.lower(), Deed("session.revoke", owner, origin)):
            raise NotFound.of("auth.session", session_id)
