"""ChatService over gRPC: map, call, map."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from services.chat.mapping.events import event_to_proto
from services.chat.mapping.requests import chat_call, require_storable
from services.chat.mapping.resources import (
    generation_to_proto,
    message_to_proto,
    model_to_proto,
    session_to_proto,
)
from services.chat.model import Event
from services.chat.ports import Catalog
from services.chat.usecases.generations import CancelGeneration, FindGeneration, ResumeTokens, WatchGeneration
from services.chat.usecases.sessions import CreateSession, GetSession, ListMessages, ListSessions
from services.chat.usecases.start_chat import StartChat
from services.kernel.principal import Principal
from services.kernel.request import current


@dataclass(frozen=True, slots=True)
class UseCases:
    """All that Chat can do."""

    start: StartChat
    watch: WatchGeneration
    find: FindGeneration
    cancel: CancelGeneration
    create_session: CreateSession
    get_session: GetSession
    list_sessions: ListSessions
    list_messages: ListMessages


class ChatServicer(chat_pb2_grpc.ChatServiceServicer):
    """Serves what is built; the runtime answers for the rest of the contract."""

    def __init__(self, use: UseCases, catalog: Catalog, tokens: ResumeTokens, digest_key: bytes) -> None:
        self._use = use
        self._catalog = catalog
        self._tokens = tokens
        self._digest_key = digest_key

    async def StreamChat(
        self, request: chat_pb2.StreamChatRequest, context: Any
    ) -> AsyncIterator[chat_pb2.StreamChatResponse]:
        """Begin, or find what the request_id began, and watch."""
        caller = current()
        call = chat_call(request, "StreamChat", self._digest_key)
        generation_id = await self._use.start(caller.principal, call, caller.remaining())
        token = self._token(caller.principal, generation_id)
        async with aclosing(self._use.watch(generation_id, 0)) as events:  # type: ignore[type-var]
            async for event in events:
                yield chat_pb2.StreamChatResponse(event=_sent(event, token))

    async def Chat(self, request: chat_pb2.ChatRequest, context: Any) -> chat_pb2.ChatResponse:
        """The same, read to its end."""
        caller = current()
        call = chat_call(request, "Chat", self._digest_key)
        generation_id = await self._use.start(caller.principal, call, caller.remaining())
        token = self._token(caller.principal, generation_id)
        async with aclosing(self._use.watch(generation_id, 0)) as events:  # type: ignore[type-var]
            async for _ in events:
                pass
        generation = await self._use.find(caller.principal, generation_id, token)
        return chat_pb2.ChatResponse(generation=generation_to_proto(generation), resume_token=token)

    async def ResumeStream(
        self, request: chat_pb2.ResumeStreamRequest, context: Any
    ) -> AsyncIterator[chat_pb2.ResumeStreamResponse]:
        """Watch from a position on."""
        principal = current().principal
        found = await self._use.find(principal, request.generation_id.lower(), request.resume_token)
        token = "" if found.user_id else request.resume_token
        async with aclosing(self._use.watch(found.generation_id, request.after_seq)) as events:  # type: ignore[type-var]
            async for event in events:
                yield chat_pb2.ResumeStreamResponse(event=_sent(event, token))

    async def CancelGeneration(
        self, request: chat_pb2.CancelGenerationRequest, context: Any
    ) -> chat_pb2.CancelGenerationResponse:
        """End it, wherever it runs."""
        generation = await self._use.cancel(
            current().principal, request.generation_id.lower(), request.resume_token
        )
        return chat_pb2.CancelGenerationResponse(generation=generation_to_proto(generation))

    async def GetGeneration(
        self, request: chat_pb2.GetGenerationRequest, context: Any
    ) -> chat_pb2.GetGenerationResponse:
        """As far as it has come."""
        generation = await self._use.find(
            current().principal, request.generation_id.lower(), request.resume_token
        )
        return chat_pb2.GetGenerationResponse(generation=generation_to_proto(generation))

    async def CreateSession(
        self, request: chat_pb2.CreateSessionRequest, context: Any
    ) -> chat_pb2.CreateSessionResponse:
        """Open an empty session."""
        require_storable(title=request.title, project=request.project, system_prompt=request.system_prompt)
        session = await self._use.create_session(
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
        session = await self._use.get_session(current().principal, request.session_id)
        return chat_pb2.GetSessionResponse(session=session_to_proto(session))

    async def ListSessions(
        self, request: chat_pb2.ListSessionsRequest, context: Any
    ) -> chat_pb2.ListSessionsResponse:
        """A page of sessions."""
        require_storable(project=request.project)
        page, next_page_token = await self._use.list_sessions(
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

    async def ListMessages(
        self, request: chat_pb2.ListMessagesRequest, context: Any
    ) -> chat_pb2.ListMessagesResponse:
        """A page of messages."""
        page, next_page_token = await self._use.list_messages(
            current().principal, request.session_id, request.page_size, request.page_token, request.skip
        )
        return chat_pb2.ListMessagesResponse(
            messages=[message_to_proto(message) for message in page.items],
            next_page_token=next_page_token,
            total_size=page.total_size,
        )

    async def ListModels(
        self, request: chat_pb2.ListModelsRequest, context: Any
    ) -> chat_pb2.ListModelsResponse:
        """The catalog, the default model first."""
        default = self._catalog.default
        others = [model for model in self._catalog.models.values() if model.name != default.name]
        return chat_pb2.ListModelsResponse(
            models=[model_to_proto(model) for model in (default, *others)], default_model=default.name
        )

    def _token(self, principal: Principal, generation_id: str) -> str:
        return "" if principal.user_id else self._tokens.make(generation_id)


def _sent(event: Event, resume_token: str) -> chat_pb2.ChatEvent:
    message = event_to_proto(event)
    if resume_token and message.HasField("started"):
        message.started.resume_token = resume_token
    return message
