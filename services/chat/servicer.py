"""ChatService over gRPC: map, call, map."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from services.capabilities.metering.usecases import RedeliverUsage, SummarizeUsage
from services.chat.mapping.events import event_to_proto
from services.chat.mapping.requests import chat_call, conversation
from services.chat.mapping.resources import generation_to_proto, model_to_proto, summary_to_proto
from services.chat.model import Event
from services.chat.ports import Catalog
from services.chat.session_servicer import SessionServicer, SessionUseCases
from services.chat.usecases.count_tokens import CountTokens
from services.chat.usecases.deadlines import before_deadline
from services.chat.usecases.generations import (
    AwaitGeneration,
    CancelGeneration,
    FindGeneration,
    WatchGeneration,
)
from services.chat.usecases.start_chat import StartChat
from services.kernel.ownership import OwnerTokens
from services.kernel.principal import Principal
from services.kernel.request import current
from services.runtime.times import moment


@dataclass(frozen=True, slots=True)
class UseCases:
    """All that Chat can do."""

    start: StartChat
    watch: WatchGeneration
    find: FindGeneration
    whole: AwaitGeneration
    cancel: CancelGeneration
    count_tokens: CountTokens
    summarize_usage: SummarizeUsage
    redeliver_usage: RedeliverUsage
    sessions: SessionUseCases


class ChatServicer(SessionServicer):
    """Serves the whole contract."""

    def __init__(self, use: UseCases, catalog: Catalog, tokens: OwnerTokens, digest_key: bytes) -> None:
        super().__init__(use.sessions)
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
        async with aclosing(self._watch(generation_id, 0)) as events:  # type: ignore[type-var]
            async for event in events:
                yield chat_pb2.StreamChatResponse(event=_sent(event, token))

    async def Chat(self, request: chat_pb2.ChatRequest, context: Any) -> chat_pb2.ChatResponse:
        """The same, read to its end."""
        caller = current()
        call = chat_call(request, "Chat", self._digest_key)
        generation_id = await self._use.start(caller.principal, call, caller.remaining())
        token = self._token(caller.principal, generation_id)
        async with aclosing(self._watch(generation_id, 0)) as events:  # type: ignore[type-var]
            generation = await self._use.whole(caller.principal, events, generation_id, token)
        return chat_pb2.ChatResponse(generation=generation_to_proto(generation), resume_token=token)

    async def ResumeStream(
        self, request: chat_pb2.ResumeStreamRequest, context: Any
    ) -> AsyncIterator[chat_pb2.ResumeStreamResponse]:
        """Watch from a position on."""
        principal = current().principal
        found = await self._use.find.head(principal, request.generation_id.lower(), request.resume_token)
        token = "" if found.user_id else request.resume_token
        async with aclosing(self._watch(found.generation_id, request.after_seq)) as events:  # type: ignore[type-var]
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

    async def ListModels(
        self, request: chat_pb2.ListModelsRequest, context: Any
    ) -> chat_pb2.ListModelsResponse:
        """The catalog, the default model first."""
        default = self._catalog.default
        others = [model for model in self._catalog.models.values() if model.name != default.name]
        return chat_pb2.ListModelsResponse(
            models=[model_to_proto(model) for model in (default, *others)], default_model=default.name
        )

    async def CountTokens(
        self, request: chat_pb2.CountTokensRequest, context: Any
    ) -> chat_pb2.CountTokensResponse:
        """An estimate, made offline."""
        count = await self._use.count_tokens(
            request.model, request.system_prompt, conversation(request.conversation)
        )
        return chat_pb2.CountTokensResponse(
            input_tokens=count.input_tokens,
            provenance=usage_pb2.PROVENANCE_ESTIMATED
            if count.input_tokens
            else usage_pb2.PROVENANCE_UNSPECIFIED,
            model=count.model,
            error_percent=count.error_percent,
        )

    async def SummarizeUsage(
        self, request: chat_pb2.SummarizeUsageRequest, context: Any
    ) -> chat_pb2.SummarizeUsageResponse:
        """What was used, added up."""
        report = await self._use.summarize_usage(
            moment("start_time", request.start_time), moment("end_time", request.end_time)
        )
        return chat_pb2.SummarizeUsageResponse(
            event_count=sum(summary.event_count for summary in report.summaries),
            summaries=[summary_to_proto(summary) for summary in report.summaries],
            pending_event_count=report.pending_event_count,
        )

    async def RedeliverUsage(
        self, request: chat_pb2.RedeliverUsageRequest, context: Any
    ) -> chat_pb2.RedeliverUsageResponse:
        """What was used, told once more."""
        count = await self._use.redeliver_usage(
            moment("start_time", request.start_time), moment("end_time", request.end_time)
        )
        return chat_pb2.RedeliverUsageResponse(event_count=count)

    def _watch(self, generation_id: str, after_seq: int) -> AsyncIterator[Event]:
        """The events after `after_seq`, as long as the caller waits."""
        events = self._use.watch(generation_id, after_seq)
        remaining = current().remaining()
        return events if remaining is None else before_deadline(remaining, generation_id, events)

    def _token(self, principal: Principal, generation_id: str) -> str:
        return "" if principal.user_id else self._tokens.make(generation_id)


def _sent(event: Event, resume_token: str) -> chat_pb2.ChatEvent:
    message = event_to_proto(event)
    if resume_token and message.HasField("started"):
        message.started.resume_token = resume_token
    return message
