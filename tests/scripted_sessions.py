# ruff: noqa: N802 - RPC methods carry the contract's names.
"""A scripted server that also keeps chat sessions and their messages, as far as a client can see them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from antiphon.auth.v1 import auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from antiphon.usage.v1 import usage_pb2

from tests.scripted_server import ScriptedAuth, ScriptedChat, ScriptedServer, answer, failing

USER, ASSISTANT = chat_pb2.MESSAGE_ROLE_USER, chat_pb2.MESSAGE_ROLE_ASSISTANT


@dataclass
class ScriptedSessions(ScriptedServer):
    """Answers `You said: …` unless a stream was scripted, and keeps both in the chat session, when there is one. `talks` has the messages
    of each session, oldest first. Each `request_id` makes one thing.
    """

    talks: dict[str, list[chat_pb2.Message]] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    asked: list[chat_pb2.StreamChatRequest] = field(default_factory=list)

    def add_services(self, server: grpc.Server) -> None:
        """Everything."""
        auth_pb2_grpc.add_AuthServiceServicer_to_server(ScriptedAuth(self), server)
        chat_pb2_grpc.add_ChatServiceServicer_to_server(_Sessions(self), server)

    def open(self, **fields: Any) -> chat_pb2.Session:
        """A new chat session."""
        session = chat_pb2.Session(session_id=str(uuid.uuid4()), **fields)
        session.create_time.GetCurrentTime()
        self.sessions.insert(0, session)
        self.talks[session.session_id] = []
        return session

    def say(self, session_id: str, role: chat_pb2.MessageRole, text: str, **fields: Any) -> chat_pb2.Message:
        """A message more in a chat session."""
        message = chat_pb2.Message(
            message_id=str(uuid.uuid4()),
            session_id=session_id,
            role=role,
            parts=[chat_pb2.Part(text=text)],
            **fields,
        )
        message.create_time.GetCurrentTime()
        self.talks[session_id].append(message)
        return message

    def texts(self, session_id: str) -> list[str]:
        """What was said in a chat session, oldest first."""
        return [message.parts[0].text for message in self.talks[session_id]]

    def find(self, session_id: str, context: grpc.ServicerContext) -> chat_pb2.Session:
        """A chat session, or NOT_FOUND."""
        found = [session for session in self.sessions if session.session_id == session_id]
        if not found:
            missing = failing(
                grpc.StatusCode.NOT_FOUND,
                "NOT_FOUND",
                "the chat session was not found",
                resource=("chat.session", session_id),
            )
            missing(context)
        return found[0]


def page(items: Sequence[Any], request: Any) -> tuple[Sequence[Any], str]:
    """What the request asks for of a list, and the token of what follows."""
    begin = int(request.page_token or 0) + request.skip
    end = begin + (request.page_size or 20)
    return items[begin:end], str(end) if end < len(items) else ""


class _Sessions(ScriptedChat):
    def __init__(self, script: ScriptedSessions) -> None:
        super().__init__(script)
        self._keeps = script

    def StreamChat(
        self, request: chat_pb2.StreamChatRequest, context: grpc.ServicerContext
    ) -> Iterator[chat_pb2.StreamChatResponse]:
        keeps = self._keeps
        keeps.arrived("StreamChat", request, context)
        keeps.asked.append(request)
        session_id = request.session_id
        if request.HasField("message"):
            signed_in = keeps.calls[-1].token
            if signed_in and not session_id:
                opened = keeps.open(title=request.message[:20], system_prompt=request.system_prompt)
                session_id = opened.session_id
            said = request.message
        else:
            said = request.conversation.messages[-1].parts[0].text
        if session_id:
            keeps.say(session_id, USER, said)
        if not keeps.streams:
            keeps.record = answer([f"You said: {said}"], session_id=session_id)
        text = ""
        try:
            for event in keeps.play(0, context):
                text += event.text_delta.text
                yield chat_pb2.StreamChatResponse(event=event)
        finally:
            if session_id and text:
                keeps.say(session_id, ASSISTANT, text, model=request.model or "echo")

    def CreateSession(
        self, request: chat_pb2.CreateSessionRequest, context: grpc.ServicerContext
    ) -> chat_pb2.CreateSessionResponse:
        self._keeps.arrived("CreateSession", request, context)
        fields = {name: getattr(request, name) for name in ("title", "project", "model", "system_prompt")}
        return chat_pb2.CreateSessionResponse(session=self._keeps.open(**fields))

    def GetSession(
        self, request: chat_pb2.GetSessionRequest, context: grpc.ServicerContext
    ) -> chat_pb2.GetSessionResponse:
        self._keeps.arrived("GetSession", request, context)
        return chat_pb2.GetSessionResponse(session=self._keeps.find(request.session_id, context))

    def UpdateSession(
        self, request: chat_pb2.UpdateSessionRequest, context: grpc.ServicerContext
    ) -> chat_pb2.UpdateSessionResponse:
        self._keeps.arrived("UpdateSession", request, context)
        session = self._keeps.find(request.session.session_id, context)
        for path in request.update_mask.paths:
            setattr(session, path, getattr(request.session, path))
        return chat_pb2.UpdateSessionResponse(session=session)

    def DeleteSession(
        self, request: chat_pb2.DeleteSessionRequest, context: grpc.ServicerContext
    ) -> chat_pb2.DeleteSessionResponse:
        self._keeps.arrived("DeleteSession", request, context)
        self._keeps.sessions.remove(self._keeps.find(request.session_id, context))
        return chat_pb2.DeleteSessionResponse()

    def ForkSession(
        self, request: chat_pb2.ForkSessionRequest, context: grpc.ServicerContext
    ) -> chat_pb2.ForkSessionResponse:
        keeps = self._keeps
        keeps.arrived("ForkSession", request, context)
        if request.request_id not in keeps.made:
            old = keeps.find(request.session_id, context)
            fork = keeps.open(title=request.title or old.title, forked_from_session_id=old.session_id)
            for message in keeps.talks[old.session_id]:
                keeps.say(fork.session_id, message.role, message.parts[0].text)
                if message.message_id == request.message_id:
                    break
            keeps.made[request.request_id] = fork
        return chat_pb2.ForkSessionResponse(session=keeps.made[request.request_id])

    def CreateMessage(
        self, request: chat_pb2.CreateMessageRequest, context: grpc.ServicerContext
    ) -> chat_pb2.CreateMessageResponse:
        keeps = self._keeps
        keeps.arrived("CreateMessage", request, context)
        keeps.find(request.session_id, context)
        if request.request_id not in keeps.made:
            text = request.message.parts[0].text
            keeps.made[request.request_id] = keeps.say(request.session_id, request.message.role, text)
        return chat_pb2.CreateMessageResponse(message=keeps.made[request.request_id])

    def GetMessage(
        self, request: chat_pb2.GetMessageRequest, context: grpc.ServicerContext
    ) -> chat_pb2.GetMessageResponse:
        self._keeps.arrived("GetMessage", request, context)
        every = [message for talk in self._keeps.talks.values() for message in talk]
        found = [message for message in every if message.message_id == request.message_id]
        if not found:
            failing(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")(context)
        return chat_pb2.GetMessageResponse(message=found[0])

    def ListMessages(
        self, request: chat_pb2.ListMessagesRequest, context: grpc.ServicerContext
    ) -> chat_pb2.ListMessagesResponse:
        self._keeps.arrived("ListMessages", request, context)
        self._keeps.find(request.session_id, context)
        messages, following = page(self._keeps.talks[request.session_id][::-1], request)
        return chat_pb2.ListMessagesResponse(messages=messages, next_page_token=following)

    def SearchMessages(
        self, request: chat_pb2.SearchMessagesRequest, context: grpc.ServicerContext
    ) -> chat_pb2.SearchMessagesResponse:
        self._keeps.arrived("SearchMessages", request, context)
        hits = [
            chat_pb2.SearchHit(message=message, snippet=message.parts[0].text)
            for session_id, talk in self._keeps.talks.items()
            for message in talk
            if request.session_id in ("", session_id)
            and all(word in message.parts[0].text for word in request.query.split())
        ]
        some, following = page(hits, request)
        return chat_pb2.SearchMessagesResponse(hits=some, next_page_token=following)

    def CountTokens(
        self, request: chat_pb2.CountTokensRequest, context: grpc.ServicerContext
    ) -> chat_pb2.CountTokensResponse:
        self._keeps.arrived("CountTokens", request, context)
        texts = [part.text for message in request.conversation.messages for part in message.parts]
        return chat_pb2.CountTokensResponse(
            input_tokens=sum(len(text.split()) for text in texts),
            provenance=usage_pb2.PROVENANCE_ESTIMATED,
            model=request.model or "echo",
            error_percent=12,
        )
