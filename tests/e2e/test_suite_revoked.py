"""Auth and Chat in processes of their own: what is revoked in one is refused by the other, in time, also when Auth dies."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import api_key_pb2, api_key_pb2_grpc, auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from tests.e2e.suite_process import NOT_SERVING, SERVING, SuiteProcess
from tests.fakes.served_suite import Failed, Metadata, bearer, failed
from tests.peers.programs import eventually

StartSuite = Callable[..., SuiteProcess]
KEY = "0123456789-0123456789-0123456789-0123456789"
CHAT = "antiphon.chat.v1.ChatService"
PASSWORD = "a battery that is a staple"
BOUND = 2.0
GRACE = 3.0


@dataclass
class World:
    """Auth and Chat, the ways to them, and the administrator's credential."""

    auth: SuiteProcess
    chat: SuiteProcess
    start_auth: Callable[[], SuiteProcess]
    accounts: auth_pb2_grpc.AuthServiceAsyncStub
    keys: api_key_pb2_grpc.ApiKeyServiceAsyncStub
    chats: chat_pb2_grpc.ChatServiceAsyncStub
    admin: Metadata = ()

    async def log_in(self, email: str, password: str = PASSWORD) -> auth_pb2.LoginResponse:
        return await self.accounts.Login(auth_pb2.LoginRequest(email=email, password=password), timeout=20)

    async def person(self, name: str, role: auth_pb2.Role = auth_pb2.ROLE_USER) -> auth_pb2.LoginResponse:
        """Somebody new, logged in."""
        request = auth_pb2.CreateUserRequest(email=f"{name}@example.com", password=PASSWORD, role=role)
        await self.accounts.CreateUser(request, metadata=self.admin, timeout=20)
        return await self.log_in(f"{name}@example.com")

    async def key_of(self, login: auth_pb2.LoginResponse) -> api_key_pb2.CreateApiKeyResponse:
        """A key of somebody's."""
        request = api_key_pb2.CreateApiKeyRequest(display_name="a program", scopes=["chat.read"])
        return await self.keys.CreateApiKey(request, metadata=bearer(login.access_token), timeout=20)

    async def update(self, user_id: str, field: str, value: Any) -> None:
        user = auth_pb2.User(user_id=user_id, **{field: value})
        request = auth_pb2.UpdateUserRequest(user=user, update_mask=FieldMask(paths=[field]))
        await self.accounts.UpdateUser(request, metadata=self.admin, timeout=20)

    async def asked(self, credential: Metadata) -> Failed | None:
        """How Chat answers to a call with the credential; None when it lets it in."""
        try:
            await self.chats.ListSessions(chat_pb2.ListSessionsRequest(), metadata=credential, timeout=20)
        except grpc.aio.AioRpcError as error:
            return failed(error)
        return None

    async def refused(self, credential: Metadata, end: float) -> Failed:
        """How Chat refuses the credential, which it does before `end` on the monotonic clock."""
        while (answer := await self.asked(credential)) is None:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        return answer

    async def refused_after(self, deed: Callable[[], Awaitable[Any]], *credentials: Metadata) -> list[str]:
        """The reasons for which Chat refuses credentials that were good until the deed, which it does within the bound."""
        assert [await self.asked(credential) for credential in credentials] == [None] * len(credentials)
        await deed()
        began, reasons = time.monotonic(), []
        for credential in credentials:
            while (answer := await self.asked(credential)) is None:
                assert time.monotonic() - began < BOUND
                await asyncio.sleep(0.01)
            assert answer.code is grpc.StatusCode.UNAUTHENTICATED
            reasons.append(answer.reason)
        return reasons


@pytest.fixture
async def world(tmp_path: Path, migrated_url: str, start_suite: StartSuite) -> AsyncIterator[World]:
    settings = {
        "DATABASE_URL": migrated_url,
        "ANTIPHON_SECRET_KEY": KEY,
        "ANTIPHON_LIMITS__LOGIN": "0",
        "ANTIPHON_IDENTITY__OFFLINE_GRACE": f"{GRACE:g}s",
    }

    def start_auth(port: int | None = None) -> SuiteProcess:
        return start_suite(tmp_path / "auth", services=["auth"], port=port, settings=settings)

    auth = await asyncio.to_thread(start_auth().up)
    peers = {**settings, "ANTIPHON_PEERS__AUTH": auth.address}
    chat = start_suite(tmp_path / "chat", services=["chat"], settings=peers)
    await asyncio.to_thread(chat.up)
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 200)]
    async with contextlib.AsyncExitStack() as stack:
        to_auth, to_chat = [
            await stack.enter_async_context(grpc.aio.insecure_channel(suite.address, options))
            for suite in (auth, chat)
        ]
        made = World(
            auth,
            chat,
            lambda: start_auth(auth.port),
            auth_pb2_grpc.AuthServiceStub(to_auth),
            api_key_pb2_grpc.ApiKeyServiceStub(to_auth),
            chat_pb2_grpc.ChatServiceStub(to_chat),
        )
        login = await made.log_in("admin@antiphon.local", auth.password or "")
        made.admin = bearer(login.access_token)
        yield made


@pytest.mark.long
async def test_what_auth_takes_back_chat_refuses_within_two_seconds(world: World) -> None:
    accounts, keys = world.accounts, world.keys
    ana = await world.person("ana")
    again = await world.log_in("ana@example.com")
    logout = auth_pb2.LogoutRequest(refresh_token=ana.refresh_token)
    reasons = await world.refused_after(lambda: accounts.Logout(logout), bearer(ana.access_token))
    assert reasons == ["TOKEN_REVOKED"]
    assert await world.asked(bearer(again.access_token)) is None

    own = bearer(again.access_token)
    (session,) = (await accounts.ListSessions(auth_pb2.ListSessionsRequest(), metadata=own)).sessions
    third = await world.log_in("ana@example.com")
    ended = auth_pb2.RevokeSessionRequest(session_id=session.session_id)
    reasons = await world.refused_after(
        lambda: accounts.RevokeSession(ended, metadata=bearer(third.access_token)), own
    )
    assert reasons == ["TOKEN_REVOKED"]

    # Another role: the old token is refused, the one that the refresh gives is good, and so is the key, asked for anew.
    key = await world.key_of(third)
    reasons = await world.refused_after(
        lambda: world.update(ana.user.user_id, "role", auth_pb2.ROLE_ADMIN), bearer(third.access_token)
    )
    assert reasons == ["TOKEN_REVOKED"]
    refresh = auth_pb2.RefreshTokenRequest(refresh_token=third.refresh_token)
    fresh = bearer((await accounts.RefreshToken(refresh)).access_token)
    assert await world.asked(fresh) is None
    assert await world.asked((("x-api-key", key.secret),)) is None

    rotate = api_key_pb2.RotateApiKeyRequest(api_key_id=key.api_key.api_key_id, grace=Duration())
    rotated: list[Metadata] = []

    async def rotating() -> None:
        rotated.append(bearer((await keys.RotateApiKey(rotate, metadata=fresh)).secret))

    assert await world.refused_after(rotating, bearer(key.secret)) == ["API_KEY_INVALID"]
    revoke = api_key_pb2.RevokeApiKeyRequest(api_key_id=key.api_key.api_key_id)
    reasons = await world.refused_after(lambda: keys.RevokeApiKey(revoke, metadata=fresh), *rotated)
    assert reasons == ["API_KEY_INVALID"]


@pytest.mark.long
async def test_who_is_disabled_or_deleted_is_out_within_two_seconds_with_keys_and_all(world: World) -> None:
    ben = await world.person("ben")
    key = bearer((await world.key_of(ben)).secret)
    reasons = await world.refused_after(
        lambda: world.update(ben.user.user_id, "disabled", True), bearer(ben.access_token), key
    )
    assert reasons == ["TOKEN_REVOKED", "API_KEY_INVALID"]
    await world.update(ben.user.user_id, "disabled", False)
    # The key, which was not revoked itself, works again as soon as its refusal is forgotten.
    end = time.monotonic() + 8
    while await world.asked(key) is not None:
        assert time.monotonic() < end
        await asyncio.sleep(0.1)
    back = bearer((await world.log_in("ben@example.com")).access_token)
    delete = auth_pb2.DeleteUserRequest(user_id=ben.user.user_id)
    reasons = await world.refused_after(
        lambda: world.accounts.DeleteUser(delete, metadata=world.admin), back, key
    )
    assert reasons == ["TOKEN_REVOKED", "API_KEY_INVALID"]


@pytest.mark.long
async def test_without_auth_credentials_pass_for_a_while_and_are_then_unavailable(world: World) -> None:
    ana = await world.person("ana")
    token, key = bearer(ana.access_token), bearer((await world.key_of(ana)).secret)
    assert await world.asked(token) is None
    assert await world.asked(key) is None

    world.auth.kill()
    killed = time.monotonic()

    # The feed is last heard up to a second before the end, and the keys that tokens are signed with are fetched every two: what is
    # believed of an API key and of a token ends apart.
    async def refused_in_time(credential: Metadata, heard: float) -> None:
        refused = await world.refused(credential, killed + GRACE + 2)
        assert time.monotonic() - killed > GRACE - heard
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert refused.retry

    await asyncio.gather(refused_in_time(token, 2.2), refused_in_time(key, 1.2))
    eventually(lambda: world.chat.health(CHAT) == NOT_SERVING, "that Chat says so")

    def said() -> bool:
        return any(
            line["event"] == "not ready" and line.get("check") == "revocations" for line in world.chat.log
        )

    eventually(said, "that the log says so")
    # Whoever needs no credential goes on.
    models = await world.chats.ListModels(chat_pb2.ListModelsRequest(), timeout=20)
    assert models.models

    await asyncio.to_thread(world.start_auth().up)
    end = time.monotonic() + 20
    while await world.asked(token) is not None or await world.asked(key) is not None:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    eventually(lambda: world.chat.health(CHAT) == SERVING, "that Chat is ready again")
    assert "Traceback" not in world.chat.err
