"""CreateMessage, GetMessage and ListMessages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.chat.model import Message
from services.chat.ports import SessionStore
from services.chat.usecases.claiming import RequestClaims
from services.chat.usecases.sessions import GetSession
from services.kernel.errors import InvalidArgument, NotFound
from services.kernel.ids import new_id
from services.kernel.paging import Page, PageTokens
from services.kernel.principal import Principal

# A message is sent back whole, and clients take 4 MiB at once by default.
_MAXIMUM_BYTES = 3 * 1024**2


@dataclass(frozen=True, slots=True)
class CreateMessage:
    """Adds a message that nobody answers."""

    store: SessionStore
    claims: RequestClaims

    async def __call__(
        self, principal: Principal, request_id: str, session_id: str, message: Message
    ) -> Message:
        """The message as stored; the one of the first call when `request_id` repeats it. Of `message` the content counts.

        Raises InvalidArgument for one of more than 3 MiB, NotFound for the session, AlreadyExists, Unavailable.
        """
        calls = [(call.tool_call_id, call.name, call.arguments) for call in message.tool_calls]
        parts = [(part,) if isinstance(part, str) else (part.image_id, part.uri) for part in message.parts]
        size = sum(len(text.encode()) for texts in (*parts, *calls) for text in texts)
        if size > _MAXIMUM_BYTES:
            raise InvalidArgument.field(
                "message", f"has {size} bytes of content; up to {_MAXIMUM_BYTES} are kept of one message"
            )
        session = session_id.lower()
        claim = self.claims(
            principal,
            request_id,
            "CreateMessage",
            session,
            message.role,
            message.texts,
            calls,
            message.tool_call_id,
            # Without pictures the digest is what it always was.
            *([parts] if message.images else []),
        )
        new = replace(message, message_id=new_id(), session_id=session, create_time=datetime.now(UTC))
        made = await self.store.create_message(new, principal.user_id, claim)
        if made is None:
            raise NotFound.of("chat.session", session_id)
        return made


@dataclass(frozen=True, slots=True)
class GetMessage:
    """Finds a message of its owner."""

    store: SessionStore

    async def __call__(self, principal: Principal, message_id: str) -> Message:
        """The message. Raises NotFound when there is none, or when it is not the caller's."""
        message = await self.store.message(message_id.lower(), principal.user_id)
        if message is None:
            raise NotFound.of("chat.message", message_id)
        return message


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
