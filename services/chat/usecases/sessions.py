"""CreateSession, GetSession, ListSessions, UpdateSession, DeleteSession and ForkSession."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from services.chat.model import Session
from services.chat.ports import Catalog, SessionStore
from services.chat.usecases.claiming import RequestClaims
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
    claims: RequestClaims

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
        claim = self.claims(principal, request_id, "CreateSession", title, project, model, system_prompt)
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
class UpdateSession:
    """Changes fields of a session."""

    store: SessionStore
    catalog: Catalog

    async def __call__(
        self, principal: Principal, session_id: str, changes: Mapping[str, str | bool]
    ) -> Session:
        """The session as it is then. `changes` are new values by the names of their fields. Raises NotFound, ModelNotFound, Unavailable."""
        wanted = dict(changes)
        if wanted.get("model"):
            self.catalog.known(str(wanted["model"]))
        if "title" in wanted:
            wanted["title"] = str(wanted["title"]).strip()
        session = await self.store.update_session(
            session_id.lower(), principal.user_id, wanted, datetime.now(UTC)
        )
        if session is None:
            raise NotFound.of("chat.session", session_id)
        return session


@dataclass(frozen=True, slots=True)
class DeleteSession:
    """Removes a session with all that was said in it."""

    store: SessionStore
    cancel_soon: Callable[[str], None]
    """Ends a generation if this process makes it; others learn of it from the store."""

    async def __call__(self, principal: Principal, session_id: str) -> None:
        """Raises NotFound, also when it was deleted before, and Unavailable."""
        running = await self.store.delete_session(session_id.lower(), principal.user_id)
        if running is None:
            raise NotFound.of("chat.session", session_id)
        for generation_id in running:
            self.cancel_soon(generation_id)


@dataclass(frozen=True, slots=True)
class ForkSession:
    """Opens a session that goes another way from a message on."""

    store: SessionStore
    claims: RequestClaims

    async def __call__(
        self, principal: Principal, request_id: str, session_id: str, message_id: str, title: str
    ) -> Session:
        """The new session; the one of the first call when `request_id` repeats it. An empty `title` keeps the old one's.

        Raises NotFound for the session or the message, AlreadyExists, Unavailable.
        """
        source_id, last_id, title = session_id.lower(), message_id.lower(), title.strip()
        claim = self.claims(principal, request_id, "ForkSession", source_id, last_id, title)
        source = await self.store.session(source_id, principal.user_id)
        if source is None and claim is None:
            raise NotFound.of("chat.session", session_id)
        now = datetime.now(UTC)
        # A retry is told of its fork even when what it was made from is gone.
        session = Session(
            session_id=new_id(),
            user_id=principal.user_id,
            title=title or (source.title if source else ""),
            project=source.project if source else "",
            model=source.model if source else "",
            system_prompt=source.system_prompt if source else "",
            archived=False,
            create_time=now,
            update_time=now,
            forked_from_session_id=source_id,
        )
        made = await self.store.fork_session(session, last_id, claim)
        if made is not None:
            return made
        # The session may have gone since it was looked at.
        if source is None or await self.store.session(source_id, principal.user_id) is None:
            raise NotFound.of("chat.session", session_id)
        raise NotFound.of("chat.message", message_id)
