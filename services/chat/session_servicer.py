"""ChatService's calls about sessions and messages: map, call, map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from services.chat.mapping.requests import new_message, require_storable, require_title
from services.chat.mapping.resources import message_to_proto, session_to_proto
from services.chat.mapping.sessions import session_changes
from services.chat.usecases.messages import CreateMessage, GetMessage, ListMessages
from services.chat.usecases.search import SearchMessages
from services.chat.usecases.sessions import (
    CreateSession,
    DeleteSession,
    ForkSession,
    GetSession,
    ListSessions,
    UpdateSession,
)
from services.kernel.request import current


@dataclass(frozen=True, slots=True)
class SessionUseCases:
    """What can be done with sessions and messages."""

    create_session: CreateSession
    get_session: GetSession
    list_sessions: ListSessions
    update_session: UpdateSession
    delete_session: DeleteSession
    fork_session: ForkSession
    create_message: CreateMessage
    get_message: GetMessage
    list_messages: ListMessages
    search: SearchMessages


class SessionServicer(chat_pb2_grpc.ChatServiceServicer):
    """The part of ChatService that asks no model."""

    def __init__(self, use: SessionUseCases) -> None:
        self._sessions = use

    async def CreateSession(
        self, request: chat_pb2.CreateSessionRequest, context: Any
    ) -> chat_pb2.CreateSessionResponse:
        """Open an empty session."""
        require_storable(title=request.title, project=request.project, system_prompt=request.system_prompt)
        require_title("title", request.title)
        session = await self._sessions.create_session(
            current().principal,
            request.request_id,
            request.title,
            request.project,
            request.model,
            request.system_prompt,
        )
        return chat_pb2.CreateSessionResponse(session=session_to_proto(session))

    async def GetSession(
        self, request: chat_pb2.GetSessionRequest, context: Any
    ) -> chat_pb2.GetSessionResponse:
        """One session."""
        session = await self._sessions.get_session(current().principal, request.session_id)
        return chat_pb2.GetSessionResponse(session=session_to_proto(session))

    async def ListSessions(
        self, request: chat_pb2.ListSessionsRequest, context: Any
    ) -> chat_pb2.ListSessionsResponse:
        """A page of sessions."""
        require_storable(project=request.project)
        page, next_page_token = await self._sessions.list_sessions(
            current().principal,
            request.user_id,
            request.project,
            request.include_archived,
            request.page_size,
            request.page_token,
            request.skip,
        )
        return chat_pb2.ListSessionsResponse(
            sessions=[session_to_proto(session) for session in page.items],
            next_page_token=next_page_token,
            total_size=page.total_size,
        )

    async def UpdateSession(
        self, request: chat_pb2.UpdateSessionRequest, context: Any
    ) -> chat_pb2.UpdateSessionResponse:
        """Change what the mask names."""
        session_id, changes = session_changes(request)
        session = await self._sessions.update_session(current().principal, session_id, changes)
        return chat_pb2.UpdateSessionResponse(session=session_to_proto(session))

    async def DeleteSession(
        self, request: chat_pb2.DeleteSessionRequest, context: Any
    ) -> chat_pb2.DeleteSessionResponse:
        """Remove it with all that was said in it."""
        await self._sessions.delete_session(current().principal, request.session_id)
        return chat_pb2.DeleteSessionResponse()

    async def ForkSession(
        self, request: chat_pb2.ForkSessionRequest, context: Any
    ) -> chat_pb2.ForkSessionResponse:
        """A session that goes another way from a message on."""
        require_storable(title=request.title)
        require_title("title", request.title)
        session = await self._sessions.fork_session(
            current().principal, request.request_id, request.session_id, request.message_id, request.title
        )
        return chat_pb2.ForkSessionResponse(session=session_to_proto(session))

    async def CreateMessage(
        self, request: chat_pb2.CreateMessageRequest, context: Any
    ) -> chat_pb2.CreateMessageResponse:
        """Add a message that nobody answers."""
        message = await self._sessions.create_message(
            current().principal, request.request_id, request.session_id, new_message(request.message)
        )
        return chat_pb2.CreateMessageResponse(message=message_to_proto(message))

    async def GetMessage(
        self, request: chat_pb2.GetMessageRequest, context: Any
    ) -> chat_pb2.GetMessageResponse:
        """One message."""
        message = await self._sessions.get_message(current().principal, request.message_id)
        return chat_pb2.GetMessageResponse(message=message_to_proto(message))

    async def ListMessages(
        self, request: chat_pb2.ListMessagesRequest, context: Any
    ) -> chat_pb2.ListMessagesResponse:
        """A page of messages."""
        page, next_page_token = await self._sessions.list_messages(
            current().principal, request.session_id, request.page_size, request.page_token, request.skip
        )
        return chat_pb2.ListMessagesResponse(
            messages=[message_to_proto(message) for message in page.items],
            next_page_token=next_page_token,
            total_size=page.total_size,
        )

    async def SearchMessages(
        self, request: chat_pb2.SearchMessagesRequest, context: Any
    ) -> chat_pb2.SearchMessagesResponse:
        """A page of hits."""
        require_storable(query=request.query)
        hits, next_page_token = await self._sessions.search(
            current().principal,
            request.session_id,
            request.query,
            request.page_size,
            request.page_token,
            request.skip,
        )
        return chat_pb2.SearchMessagesResponse(
            hits=[
                chat_pb2.SearchHit(message=message_to_proto(message), snippet=snippet)
                for message, snippet in hits
            ],
            next_page_token=next_page_token,
        )
