"""What docs/security.md tells operators to do works as it says."""

from __future__ import annotations

import uuid

import grpc
import pytest
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from antiphon.chat.v1 import chat_pb2

from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import Serve, Served, bearer, failure

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
PASSWORD = "a goat ate my bicycle"


async def logged_in(suite: Served) -> tuple[str, auth_pb2.LoginResponse]:
    email = f"{uuid.uuid4().hex}@example.com"
    await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
    return email, await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=PASSWORD))


async def test_a_new_deployment_secret_ends_access_tokens_and_nothing_else(
    serve: Serve, module_stage: Stage
) -> None:
    module_stage.clear()
    async with serve() as suite:
        email, login = await logged_in(suite)
        request = api_key_pb2.CreateApiKeyRequest(display_name="a key", scopes=["chat.write"])
        key = (await suite.api_keys.CreateApiKey(request, metadata=bearer(login.access_token))).secret
    await suite.rows("delete from auth.signing_keys returning kid")
    async with serve(ANTIPHON_SECRET_KEY="another secret, which nobody has seen yet") as suite:
        refused = await failure(
            suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(login.access_token))
        )
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        fresh = await suite.auth.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=login.refresh_token))
        await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(fresh.access_token))
        await suite.chat.Chat(chat_pb2.ChatRequest(message="Hola"), metadata=bearer(key))
        await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=PASSWORD))


async def test_after_a_restored_backup_everybody_logs_in_anew(serve: Serve) -> None:
    async with serve() as suite:
        email, login = await logged_in(suite)
    await suite.rows(
        "update auth.sessions set revoked = true, revoked_at = now() where not revoked returning id"
    )
    async with serve() as suite:
        refused = await failure(
            suite.auth.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=login.refresh_token))
        )
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=PASSWORD))
