"""CreateSession, GetSession, ListSessions and ListMessages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from services.capabilities.claims.model import body_digest
from services.chat.model import Message, Session
from services.chat.ports import Catalog, SessionStore
from services.kernel.errors import NotFound
from services.kernel.ids import new_id
from services.kernel.ownership import whose
from services.kernel.paging import Page, PageTokens
from services.kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class CreateSession:
    """Opens an empty session."""

    store: SessionStore
    catalog: Catalog
    digest_key: bytes

    async def __call__(
        self, principal: Principal, request_id: str, title: str, project: str, model: str, system_prompt: str
    ) -> Session:
        """The session; the one of the first call when `request_id` repeats it. Raises ModelNotFound, AlreadyExists, Unavailable."""
        if model:
            self.catalog.known(model)
        now = datetime.now(UTC)
        session = Session(
            session_id=new_id(),
            user_id=principal.user_id,
            title=title.strip(),
            project=project,
            model=model,
            system_prompt=system_prompt,
            archived=False,
            create_time=now,
            update_time=now,
        )
        claim = None
        if request_id:
            body = json.dumps(["CreateSession", title, project, model, system_prompt]).encode()
            claim = (principal.user_id, request_id.lower(), body_digest(self.digest_key, body))
        return await self.store.create_session(session, claim)


@dataclass(frozen=True, slots=True)
class GetSession:
    """Finds a session of its owner."""

    store: SessionStore

    async def __call__(self, principal: Principal, session_id: str) -> Session:
        """The session. Raises NotFound when there is none, or when it is not the caller's."""
        session = await self.store.session(session_id.lower(), principal.user_id)
        if session is None:
            raise NotFound.of("chat.session", session_id)
        return session


@dataclass(frozen=True, slots=True)
class ListSessions:
    """Lists sessions."""

    store: SessionStore
    tokens: PageTokens

    async def __call__(
        self,
        principal: Principal,
        user_id: str,
        project: str,
        include_archived: bool,
        page_size: int,
        page_token: str,
        skip: int,
    ) -> tuple[Page[Session], str]:
        """A page of the caller's sessions — of another person's for administrators — and the token of the next one.

        Raises PermissionDenied for another person's `user_id`, and InvalidArgument for a foreign page token.
        """
        owner = whose(principal, user_id)
        filter_ = (owner, project, include_archived)
        request = self.tokens.request(page_size, page_token, skip, "chat.sessions", filter_)
        page = await self.store.sessions(owner, project, include_archived, request)
        return page, self.tokens.token(page.after, "chat.sessions", filter_)


@dataclass(frozen=True, slots=True)
class ListMessages:
    """Lists the messages of a session."""

    sessions: GetSession
    store: SessionStore
    tokens: PageTokens

    async def __call__(
        self, principal: Principal, session_id: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[Message], str]:
        """A page of messages and the token of the next one. Raises NotFound and InvalidArgument."""
        session = await self.sessions(principal, session_id)
        filter_ = (session.session_id,)
        request = self.tokens.request(page_size, page_token, skip, "chat.messages", filter_)
        page = await self.store.messages(session.session_id, request)
        return page, self.tokens.token(page.after, "chat.messages", filter_)
