# ruff: noqa: N802 - RPC methods carry the contract's names.
"""A server that speaks the contract and plays what a test writes down: a peer for the client and the command line."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

GENERATION_ID = "0198c5a2-0000-7000-8000-000000000001"
SESSION_ID = "0198c5a2-0000-7000-8000-000000000002"
MESSAGE_ID = "0198c5a2-0000-7000-8000-000000000003"

Step = chat_pb2.ChatEvent | Callable[[grpc.ServicerContext], object]
"""An event to send, or what to do at that point: fail, wait, and so on."""


def failing(
    code: grpc.StatusCode,
    reason: str = "",
    message: str = "scripted",
    *,
    retry_after: float | None = None,
    violations: Sequence[tuple[str, str]] = (),
    quota: tuple[str, str] | None = None,
    resource: tuple[str, str] | None = None,
    trailers: Sequence[tuple[str, str]] = (),
    **metadata: str,
) -> Callable[[grpc.ServicerContext], object]:
    """Ends a call as the server does; without a reason, as a connection that breaks does."""

    def fail(context: grpc.ServicerContext) -> object:
        if not reason:
            context.abort(code, message)
        details: list[Message] = [
            error_details_pb2.ErrorInfo(reason=reason, domain="antiphon", metadata=metadata)
        ]
        if retry_after is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(int(retry_after * 1e9))
            details.append(retry)
        if violations:
            fields = [
                error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations
            ]
            details.append(error_details_pb2.BadRequest(field_violations=fields))
        if quota is not None:
            limits = error_details_pb2.QuotaFailure()
            limits.violations.add(subject=quota[0], description=quota[1])
            details.append(limits)
        if resource is not None:
            details.append(
                error_details_pb2.ResourceInfo(resource_type=resource[0], resource_name=resource[1])
            )
        packed = []
        for detail in details:
            wrapped = AnyMessage()
            wrapped.Pack(detail)
            packed.append(wrapped)
        status = status_pb2.Status(code=code.value[0], message=message, details=packed)
        # Aborting replaces the trailing metadata, so the request id has to travel with the details.
        named = [(key, value) for key, value in context.invocation_metadata() if key == "x-request-id"]
        ended: Any = rpc_status.to_status(status)
        context.abort_with_status(
            ended._replace(trailing_metadata=(*ended.trailing_metadata, *named, *trailers))
        )

    return fail


def until_the_caller_leaves(context: grpc.ServicerContext) -> object:
    """Stays silent until the caller has gone away."""
    left = threading.Event()
    # A call that has ended already takes no callback.
    return left.wait(20) if context.add_callback(left.set) else None


BROKEN = failing(grpc.StatusCode.UNAVAILABLE, message="the connection broke")
EXPIRED = failing(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED", "the token has expired; refresh it")


def answer(
    words: Sequence[str],
    *,
    resume_token: str = "",
    session_id: str = SESSION_ID,
    reason: chat_pb2.FinishReason = chat_pb2.FINISH_REASON_STOP,
) -> list[chat_pb2.ChatEvent]:
    """The record of an answer: started, a delta per word, finished."""
    started = chat_pb2.Started(
        generation_id=GENERATION_ID,
        session_id=session_id,
        message_id=MESSAGE_ID,
        model="echo",
        resume_token=resume_token,
    )
    finished = chat_pb2.Finished(reason=reason, message_id=MESSAGE_ID)
    record = [chat_pb2.ChatEvent(started=started)]
    record += [chat_pb2.ChatEvent(text_delta=chat_pb2.TextDelta(text=word)) for word in words]
    record += [chat_pb2.ChatEvent(finished=finished)]
    for seq, event in enumerate(record, start=1):
        event.first_seq = event.seq = seq
    return record


def access_token(name: str, lifetime: float = 900.0, age: float = 0.0) -> str:
    """What looks like a JWT, as far as a client may look."""
    issued = time.time() - age
    claims = {"sub": name, "sid": name, "iat": issued, "exp": issued + lifetime}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{name}"


@dataclass
class Seen:
    """A call as it arrived. `ended` is set when it is over, for whatever reason."""

    method: str
    request: Message
    metadata: dict[str, str]
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def token(self) -> str:
        return self.metadata.get("authorization", "").removeprefix("Bearer ")


@dataclass
class ScriptedServer:
    """Plays `record` for StreamChat, Chat and ResumeStream, unless `streams` has something else for the next stream, or
    `failures[method]` a failure for the next call. `calls` is what arrived.
    """

    record: list[chat_pb2.ChatEvent] = field(default_factory=lambda: answer(["Hello", ", ", "world"]))
    streams: deque[Sequence[Step]] = field(default_factory=deque)
    failures: dict[str, deque[Callable[[grpc.ServicerContext], object]]] = field(default_factory=dict)
    calls: list[Seen] = field(default_factory=list)
    port: int = 0
    lifetime: float = 900.0
    models: list[chat_pb2.Model] = field(default_factory=list)
    sessions: list[chat_pb2.Session] = field(default_factory=list)
    messages: list[chat_pb2.Message] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    valid_tokens: set[str] = field(default_factory=set)
    renewals: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Listens; on the same port as before when it was stopped."""
        self._server = grpc.server(ThreadPoolExecutor(max_workers=32), options=[("grpc.so_reuseport", 0)])
        self.add_services(self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def add_services(self, server: grpc.Server) -> None:
        """What it serves."""
        auth_pb2_grpc.add_AuthServiceServicer_to_server(ScriptedAuth(self), server)
        chat_pb2_grpc.add_ChatServiceServicer_to_server(ScriptedChat(self), server)

    def stop(self) -> None:
        """Breaks every connection."""
        self._server.stop(0).wait()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def fail(self, method: str, *failures: Callable[[grpc.ServicerContext], object]) -> None:
        """The next calls of `method` fail, one after the other."""
        self.failures.setdefault(method, deque()).extend(failures)

    def of(self, method: str) -> list[Seen]:
        """The calls of `method` that arrived."""
        return [seen for seen in self.calls if seen.method == method]

    def issue(self, name: str) -> auth_pb2.RefreshTokenResponse:
        """A new pair of tokens; the access token is the only one that is accepted from now on."""
        response = auth_pb2.RefreshTokenResponse(
            access_token=access_token(name, self.lifetime), refresh_token=f"refresh-{name}"
        )
        response.access_token_expire_time.FromSeconds(int(time.time() + self.lifetime))
        response.refresh_token_expire_time.FromSeconds(int(time.time() + 30 * 86400))
        self.valid_tokens = {response.access_token}
        return response

    def arrived(self, method: str, request: Message, context: grpc.ServicerContext) -> None:
        """Notes a call, and fails it when the script says so."""
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        with self.lock:
            seen = Seen(method, request, metadata)
            if not context.add_callback(seen.ended.set):
                seen.ended.set()
            self.calls.append(seen)
            failures = self.failures.get(method)
            failure = failures.popleft() if failures else None
        context.set_trailing_metadata((("x-request-id", metadata.get("x-request-id", "")),))
        if failure is not None:
            failure(context)
        if self.valid_tokens and seen.token and seen.token not in self.valid_tokens:
            EXPIRED(context)

    def play(self, after_seq: int, context: grpc.ServicerContext) -> Iterator[chat_pb2.ChatEvent]:
        """The events of the next scripted stream, or of the record."""
        with self.lock:
            steps = self.streams.popleft() if self.streams else None
        if steps is None:
            steps = [event for event in self.record if event.seq > after_seq]
        for step in steps:
            if isinstance(step, chat_pb2.ChatEvent):
                yield step
            else:
                step(context)

    def generation(self) -> chat_pb2.Generation:
        """What the record has come to."""
        return chat_pb2.Generation(
            generation_id=GENERATION_ID,
            state=chat_pb2.GENERATION_STATE_COMPLETED,
            text="".join(event.text_delta.text for event in self.record),
            finish_reason=self.record[-1].finished.reason,
            last_seq=self.record[-1].seq,
        )


class ScriptedAuth(auth_pb2_grpc.AuthServiceServicer):
    """Logs in and out."""

    def __init__(self, script: ScriptedServer) -> None:
        self._script = script

    def Register(
        self, request: auth_pb2.RegisterRequest, context: grpc.ServicerContext
    ) -> auth_pb2.RegisterResponse:
        self._script.arrived("Register", request, context)
        return auth_pb2.RegisterResponse(user=auth_pb2.User(email=request.email, role=auth_pb2.ROLE_USER))

    def Login(self, request: auth_pb2.LoginRequest, context: grpc.ServicerContext) -> auth_pb2.LoginResponse:
        self._script.arrived("Login", request, context)
        if request.password != "correct horse":
            failing(grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS", "e-mail or password is wrong")(
                context
            )
        tokens = self._script.issue("login")
        response = auth_pb2.LoginResponse(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            user=auth_pb2.User(email=request.email, role=auth_pb2.ROLE_USER),
        )
        response.access_token_expire_time.CopyFrom(tokens.access_token_expire_time)
        response.refresh_token_expire_time.CopyFrom(tokens.refresh_token_expire_time)
        return response

    def RefreshToken(
        self, request: auth_pb2.RefreshTokenRequest, context: grpc.ServicerContext
    ) -> auth_pb2.RefreshTokenResponse:
        self._script.arrived("RefreshToken", request, context)
        with self._script.lock:
            self._script.renewals += 1
            return self._script.issue(f"renewed-{self._script.renewals}")

    def Logout(
        self, request: auth_pb2.LogoutRequest, context: grpc.ServicerContext
    ) -> auth_pb2.LogoutResponse:
        self._script.arrived("Logout", request, context)
        return auth_pb2.LogoutResponse()

    def GetProfile(
        self, request: auth_pb2.GetProfileRequest, context: grpc.ServicerContext
    ) -> auth_pb2.GetProfileResponse:
        self._script.arrived("GetProfile", request, context)
        return auth_pb2.GetProfileResponse(
            user=auth_pb2.User(email="ana@example.com", role=auth_pb2.ROLE_USER)
        )

    def GetJwks(
        self, request: auth_pb2.GetJwksRequest, context: grpc.ServicerContext
    ) -> auth_pb2.GetJwksResponse:
        self._script.arrived("GetJwks", request, context)
        return auth_pb2.GetJwksResponse(jwks_json='{"keys":[]}')


class ScriptedChat(chat_pb2_grpc.ChatServiceServicer):
    """Answers as the script says."""

    def __init__(self, script: ScriptedServer) -> None:
        self._script = script

    def StreamChat(
        self, request: chat_pb2.StreamChatRequest, context: grpc.ServicerContext
    ) -> Iterator[chat_pb2.StreamChatResponse]:
        self._script.arrived("StreamChat", request, context)
        for event in self._script.play(0, context):
            yield chat_pb2.StreamChatResponse(event=event)

    def ResumeStream(
        self, request: chat_pb2.ResumeStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[chat_pb2.ResumeStreamResponse]:
        self._script.arrived("ResumeStream", request, context)
        for event in self._script.play(request.after_seq, context):
            yield chat_pb2.ResumeStreamResponse(event=event)

    def Chat(self, request: chat_pb2.ChatRequest, context: grpc.ServicerContext) -> chat_pb2.ChatResponse:
        self._script.arrived("Chat", request, context)
        return chat_pb2.ChatResponse(generation=self._script.generation())

    def CancelGeneration(
        self, request: chat_pb2.CancelGenerationRequest, context: grpc.ServicerContext
    ) -> chat_pb2.CancelGenerationResponse:
        self._script.arrived("CancelGeneration", request, context)
        self._script.cancelled.set()
        return chat_pb2.CancelGenerationResponse(generation=self._script.generation())

    def GetGeneration(
        self, request: chat_pb2.GetGenerationRequest, context: grpc.ServicerContext
    ) -> chat_pb2.GetGenerationResponse:
        self._script.arrived("GetGeneration", request, context)
        return chat_pb2.GetGenerationResponse(generation=self._script.generation())

    def CreateSession(
        self, request: chat_pb2.CreateSessionRequest, context: grpc.ServicerContext
    ) -> chat_pb2.CreateSessionResponse:
        self._script.arrived("CreateSession", request, context)
        return chat_pb2.CreateSessionResponse(
            session=chat_pb2.Session(session_id=SESSION_ID, title=request.title)
        )

    def GetSession(
        self, request: chat_pb2.GetSessionRequest, context: grpc.ServicerContext
    ) -> chat_pb2.GetSessionResponse:
        self._script.arrived("GetSession", request, context)
        found = [session for session in self._script.sessions if session.session_id == request.session_id]
        if not found:
            failing(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "the chat session was not found")(context)
        return chat_pb2.GetSessionResponse(session=found[0])

    def ListSessions(
        self, request: chat_pb2.ListSessionsRequest, context: grpc.ServicerContext
    ) -> chat_pb2.ListSessionsResponse:
        self._script.arrived("ListSessions", request, context)
        begin = int(request.page_token or 0) + request.skip
        end = begin + (request.page_size or 20)
        more = end < len(self._script.sessions)
        return chat_pb2.ListSessionsResponse(
            sessions=self._script.sessions[begin:end],
            next_page_token=str(end) if more else "",
            total_size=len(self._script.sessions),
        )

    def ListMessages(
        self, request: chat_pb2.ListMessagesRequest, context: grpc.ServicerContext
    ) -> chat_pb2.ListMessagesResponse:
        self._script.arrived("ListMessages", request, context)
        begin = int(request.page_token or 0) + request.skip
        end = begin + (request.page_size or 20)
        more = end < len(self._script.messages)
        return chat_pb2.ListMessagesResponse(
            messages=self._script.messages[begin:end], next_page_token=str(end) if more else ""
        )

    def ListModels(
        self, request: chat_pb2.ListModelsRequest, context: grpc.ServicerContext
    ) -> chat_pb2.ListModelsResponse:
        self._script.arrived("ListModels", request, context)
        return chat_pb2.ListModelsResponse(models=self._script.models, default_model="echo")
