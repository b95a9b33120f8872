"""Small services on the real contract and the real runtime, and callers who are whoever they say."""

# ruff: noqa: N802 - RPC methods carry the contract's names.

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.kernel.errors import Unauthenticated
from services.kernel.principal import Kind, Principal
from services.kernel.request import Request, current
from services.runtime.health import Health
from services.runtime.logs import Log
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.server import Server
from services.settings import ServerSettings

CALLERS = {
    "user": Principal(Kind.USER, user_id="ana", session_id="s1"),
    "admin": Principal(Kind.ADMIN, user_id="root", session_id="s2"),
    "service": Principal(Kind.SERVICE, service="chat"),
    "service-for-ana": Principal(Kind.SERVICE, service="chat", user_id="ana"),
    "key": Principal(Kind.USER, user_id="ana", api_key_id="k1", scopes=frozenset(("chat.read",))),
}


class NamedCallers:
    """Believes `authorization: Bearer <name of a caller>`."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal | None:
        credential = metadata.get("authorization")
        if credential is None:
            return None
        try:
            return CALLERS[credential.removeprefix("Bearer ")]
        except KeyError:
            raise Unauthenticated("This token is not accepted.", reason="TOKEN_INVALID") from None


@dataclass
class Behaviour:
    """What the services do, to be set by a test."""

    profile_error: BaseException | None = None
    stream_error: BaseException | None = None
    words: int = 3
    hold: asyncio.Event | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Request] = field(default_factory=list)


class AuthDouble(auth_pb2_grpc.AuthServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def GetProfile(self, request: Any, context: Any) -> Any:
        self._behaviour.seen.append(current())
        if self._behaviour.profile_error is not None:
            raise self._behaviour.profile_error
        if self._behaviour.hold is not None:
            self._behaviour.started.set()
            await self._behaviour.hold.wait()
        return auth_pb2.GetProfileResponse(user=auth_pb2.User(user_id=current().principal.user_id))

    async def Login(self, request: Any, context: Any) -> Any:
        self._behaviour.seen.append(current())
        return auth_pb2.LoginResponse(access_token="token")

    async def VerifyToken(self, request: Any, context: Any) -> Any:
        return auth_pb2.VerifyTokenResponse()

    async def ListUsers(self, request: Any, context: Any) -> Any:
        return auth_pb2.ListUsersResponse()


class ChatDouble(chat_pb2_grpc.ChatServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def StreamChat(self, request: Any, context: Any) -> Any:
        self._behaviour.seen.append(current())
        try:
            for number in range(1, self._behaviour.words + 1):
                delta = chat_pb2.TextDelta(text=f"word{number} ")
                yield chat_pb2.StreamChatResponse(
                    event=chat_pb2.ChatEvent(first_seq=number, seq=number, text_delta=delta)
                )
            self._behaviour.started.set()
            if self._behaviour.hold is not None:
                await self._behaviour.hold.wait()
            if self._behaviour.stream_error is not None:
                raise self._behaviour.stream_error
        finally:
            self._behaviour.ended.set()


@dataclass
class Running:
    """A server of these services, a channel to it, and the lines of its log."""

    server: Server
    metrics: Metrics
    health: Health
    channel: grpc.aio.Channel
    behaviour: Behaviour
    log_file: int

    @property
    def auth(self) -> auth_pb2_grpc.AuthServiceAsyncStub:
        return auth_pb2_grpc.AuthServiceStub(self.channel)

    @property
    def chat(self) -> chat_pb2_grpc.ChatServiceAsyncStub:
        return chat_pb2_grpc.ChatServiceStub(self.channel)

    def log_text(self) -> str:
        size = os.fstat(self.log_file).st_size
        return os.pread(self.log_file, size, 0).decode()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_text().splitlines()]


@asynccontextmanager
async def running(
    log_file: int,
    *,
    behaviour: Behaviour | None = None,
    settings: ServerSettings | None = None,
    mounted: list[Mounted] | None = None,
    level: str = "INFO",
) -> AsyncIterator[Running]:
    behaviour = behaviour or Behaviour()
    metrics = Metrics()
    services = mounted or [
        Mounted("auth", {"antiphon.auth.v1.AuthService": AuthDouble(behaviour)}),
        Mounted("chat", {"antiphon.chat.v1.ChatService": ChatDouble(behaviour)}),
    ]
    async with AsyncExitStack() as stack:
        server = Server(
            settings or ServerSettings(port=0, grace=0.2), metrics, Log(level, pretty=False, stream=log_file)
        )
        stack.push_async_callback(server.close)
        health = await stack.enter_async_context(server.serving(services, NamedCallers()))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
        yield Running(server, metrics, health, channel, behaviour, log_file)


def bearer(caller: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {caller}"),)


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The google.rpc details of a failed call, by the short names of their types."""
    raw = next(value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin")
    assert isinstance(raw, bytes)
    status = status_pb2.Status.FromString(raw)
    assert status.code == error.code().value[0]
    found: dict[str, Any] = {}
    for detail in status.details:
        name = detail.TypeName().rpartition(".")[2]
        message: Message = getattr(error_details_pb2, name)()
        detail.Unpack(message)
        found[name] = message
    return found


def reason(error: grpc.aio.AioRpcError) -> str:
    info = details(error)["ErrorInfo"]
    assert info.domain == "antiphon"
    return str(info.reason)


def request_id_of(metadata: Any) -> str:
    return str(next(value for key, value in metadata if key == "x-request-id"))
