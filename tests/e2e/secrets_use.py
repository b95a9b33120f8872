"""People, programs and services who use every kind of secret, well and badly."""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from antiphon.auth.v1 import api_key_pb2, api_key_pb2_grpc, auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from google.protobuf import message_factory
from google.protobuf.duration_pb2 import Duration

from tests.e2e.suite_process import SuiteProcess
from tests.fakes.secrets_known import Secrets, unguessable


@dataclass
class Callers:
    """A suite's services, and how to call them well and badly."""

    channel: grpc.aio.Channel
    auth: auth_pb2_grpc.AuthServiceAsyncStub
    keys: api_key_pb2_grpc.ApiKeyServiceAsyncStub
    chat: chat_pb2_grpc.ChatServiceAsyncStub

    async def fails(self, call: Any) -> None:
        """The call fails, and what it tells names no secret of the caller's."""
        try:
            await finished(call)
        except grpc.aio.AioRpcError:
            return
        raise AssertionError("the call should have failed")


@asynccontextmanager
async def callers(suite: SuiteProcess) -> AsyncIterator[Callers]:
    async with grpc.aio.insecure_channel(suite.address, [("grpc.enable_http_proxy", 0)]) as channel:
        yield Callers(
            channel,
            auth_pb2_grpc.AuthServiceStub(channel),
            api_key_pb2_grpc.ApiKeyServiceStub(channel),
            chat_pb2_grpc.ChatServiceStub(channel),
        )


def bearer(credential: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {credential}"),)


async def finished(call: Any) -> None:
    """Wait for the end of a call of any shape."""
    if hasattr(call, "__aiter__"):
        _ = [response async for response in call]
    else:
        await call


async def accounts(calls: Callers, known: Secrets, admin: str) -> str:
    """Registers, makes, changes and deletes; returns somebody's access token."""
    first, second = known.add("password", unguessable("goat")), known.add("password", unguessable("crane"))
    wrong = known.add("wrong password", unguessable("wrong"))
    email = f"{uuid.uuid4().hex}@example.com"
    request = auth_pb2.RegisterRequest(request_id=str(uuid.uuid4()), email=email, password=first)
    for _ in range(2):
        await calls.auth.Register(request)
    request.password = known.add("password of a reused request", unguessable("reused"))
    await calls.fails(calls.auth.Register(request))
    await calls.fails(calls.auth.Register(auth_pb2.RegisterRequest(email=wrong, password=wrong)))
    await calls.fails(calls.auth.Register(auth_pb2.RegisterRequest(email=email, password=wrong)))

    login = await calls.auth.Login(auth_pb2.LoginRequest(email=email, password=first))
    token = known.token("access token", login.access_token)
    known.add("refresh token", login.refresh_token)
    # Somebody types the password where the e-mail belongs.
    for name, password in ((email, wrong), (wrong, first), (first, first)):
        await calls.fails(calls.auth.Login(auth_pb2.LoginRequest(email=name, password=password)))
    change = auth_pb2.ChangePasswordRequest(current_password=wrong, new_password=second)
    await calls.fails(calls.auth.ChangePassword(change, metadata=bearer(token)))
    change.current_password = first
    await calls.auth.ChangePassword(change, metadata=bearer(token))

    other = known.add("password that an administrator chose", unguessable("chosen"))
    made = await calls.auth.CreateUser(
        auth_pb2.CreateUserRequest(
            email=f"{uuid.uuid4().hex}@example.com", password=other, role=auth_pb2.ROLE_USER
        ),
        metadata=bearer(admin),
    )
    await calls.auth.DeleteUser(auth_pb2.DeleteUserRequest(user_id=made.user.user_id), metadata=bearer(admin))
    login = await calls.auth.Login(auth_pb2.LoginRequest(email=email, password=second))
    known.add("refresh token", login.refresh_token)
    await refreshes(calls, known, login.refresh_token)
    login = await calls.auth.Login(auth_pb2.LoginRequest(email=email, password=second))
    known.add("refresh token", login.refresh_token)
    return known.token("access token", login.access_token)


async def refreshes(calls: Callers, known: Secrets, token: str) -> None:
    """Rotates, asks again within the grace, shows one that is long gone, and one that never was."""
    garbage = known.add("made-up refresh token", f"rt_{secrets.token_urlsafe(32)}")
    await calls.fails(calls.auth.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=garbage)))
    tokens = [token]
    for number in range(3):
        for _ in range(2 if number == 0 else 1):
            answer = await calls.auth.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=tokens[-1]))
        tokens.append(known.add("successor of a refresh token", answer.refresh_token))
        known.token("refreshed access token", answer.access_token)
    with suppress(grpc.aio.AioRpcError):
        await calls.auth.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=tokens[0]))
    for one in (tokens[-1], garbage):
        with suppress(grpc.aio.AioRpcError):
            await calls.auth.Logout(auth_pb2.LogoutRequest(refresh_token=one))
    await calls.fails(calls.auth.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=tokens[-1])))


async def api_keys(calls: Callers, known: Secrets, token: str) -> list[str]:
    """Makes, uses, rotates and revokes; returns the keys."""
    request = api_key_pb2.CreateApiKeyRequest(display_name="a key", scopes=["chat.write"])
    made = await calls.keys.CreateApiKey(request, metadata=bearer(token))
    rotated = await calls.keys.RotateApiKey(
        api_key_pb2.RotateApiKeyRequest(api_key_id=made.api_key.api_key_id, grace=Duration(seconds=60)),
        metadata=bearer(token),
    )
    both = [made.secret, rotated.secret]
    for key in both:
        known.add("secret of an API key", key.split("_", 2)[2])
        await calls.chat.Chat(chat_pb2.ChatRequest(message="Hola", model="echo"), metadata=bearer(key))
        await calls.fails(calls.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(key)))
    forged = known.add("forged secret of a key", secrets.token_urlsafe(32).replace("_", "x"))
    wrong = f"{made.secret.rpartition('_')[0]}_{forged}"
    await calls.fails(calls.chat.Chat(chat_pb2.ChatRequest(message="Hola"), metadata=bearer(wrong)))
    await calls.keys.RevokeApiKey(
        api_key_pb2.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id), metadata=bearer(token)
    )
    return [*both, wrong]


async def chats(calls: Callers, known: Secrets, token: str) -> None:
    """Somebody, and somebody without a name, are answered, by models that work and by ones that show what they were sent."""
    asked = chat_pb2.StreamChatRequest(message="Hola", model="talking")
    anonymous = [response.event async for response in calls.chat.StreamChat(asked)]
    started = anonymous[0].started
    resume = known.add("resume token", started.resume_token)
    guess = known.add("guessed resume token", secrets.token_hex(20))
    for secret in (guess, resume):
        which: dict[str, Any] = {"generation_id": started.generation_id, "resume_token": secret}
        asked_again: list[Any] = [
            calls.chat.GetGeneration(chat_pb2.GetGenerationRequest(**which)),
            calls.chat.CancelGeneration(chat_pb2.CancelGenerationRequest(**which)),
            calls.chat.ResumeStream(chat_pb2.ResumeStreamRequest(**which)),
        ]
        for call in asked_again:
            if secret == guess:
                await calls.fails(call)
            else:
                await finished(call)
    await finished(calls.chat.StreamChat(asked, metadata=bearer(token)))
    telling = chat_pb2.ChatRequest(message="Hola", model="telling")
    await calls.fails(calls.chat.Chat(telling, metadata=bearer(token)))


async def everything(calls: Callers, credentials: Iterable[str]) -> None:
    """Every RPC there is, with nothing in the request, and the credentials wherever one may be put."""
    services = (
        auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
        api_key_pb2.DESCRIPTOR.services_by_name["ApiKeyService"],
        chat_pb2.DESCRIPTOR.services_by_name["ChatService"],
    )
    methods = [method for service in services for method in service.methods]
    for credential in credentials:
        places = (
            bearer(credential),
            (("authorization", credential),),
            (("authorization", f"Basic {base64.b64encode(credential.encode()).decode()}"),),
            (("x-api-key", credential), ("x-on-behalf-of", credential), ("x-request-id", "a-request")),
        )
        for number, method in enumerate(methods):
            kind: Any = calls.channel.unary_stream if method.server_streaming else calls.channel.unary_unary
            call = kind(
                f"/{method.containing_service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=bytes,
            )
            request = message_factory.GetMessageClass(method.input_type)()
            with suppress(grpc.aio.AioRpcError):
                await finished(call(request, metadata=places[number % len(places)], timeout=5))


async def services_ask(calls: Callers, known: Secrets, token: str, tokens: Iterable[str]) -> None:
    """What other services ask of Auth, with their own token and with a forged one."""
    known.token("service token", token)
    for other in (*tokens, token):
        await calls.auth.VerifyToken(auth_pb2.VerifyTokenRequest(token=other), metadata=bearer(token))
        await calls.fails(
            calls.auth.VerifyToken(auth_pb2.VerifyTokenRequest(token=other), metadata=bearer(f"{token}x"))
        )
    async for response in calls.auth.WatchRevocations(
        auth_pb2.WatchRevocationsRequest(), metadata=bearer(token)
    ):
        if response.WhichOneof("item") != "revocation":
            break
