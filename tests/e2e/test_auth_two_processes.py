"""Login sessions on two processes over one database: a storm of refreshes leaves one successor, and a logout is known to both."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import psycopg
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from tests.e2e.suite_process import SuiteProcess

pytestmark = pytest.mark.long

StartSuite = Callable[..., SuiteProcess]
EMAIL, PASSWORD = "ana@example.com", "a battery that is a staple"
STORM = 50
BOUND = 2.0


@pytest.fixture
async def processes(
    tmp_path: Path, migrated_url: str, start_suite: StartSuite
) -> AsyncIterator[list[auth_pb2_grpc.AuthServiceAsyncStub]]:
    """Auth in two processes."""
    settings = {
        "DATABASE_URL": migrated_url,
        "ANTIPHON_SECRET_KEY": "0123456789-0123456789-0123456789-0123456789",
        "ANTIPHON_LIMITS__REFRESH": "0",
    }
    suites = [start_suite(tmp_path / name, services=["auth"], settings=settings) for name in ("one", "two")]
    async with contextlib.AsyncExitStack() as stack:
        stubs = []
        for suite in suites:
            await asyncio.to_thread(suite.up)
            channel = grpc.aio.insecure_channel(suite.address, [("grpc.enable_http_proxy", 0)])
            stubs.append(auth_pb2_grpc.AuthServiceStub(await stack.enter_async_context(channel)))
        yield stubs


async def believed(stub: auth_pb2_grpc.AuthServiceAsyncStub, token: str) -> str:
    """How a call with the access token ends: OK, or the code of its refusal."""
    call = stub.GetProfile(
        auth_pb2.GetProfileRequest(), metadata=(("authorization", f"Bearer {token}"),), timeout=10
    )
    return (await call.code()).name


async def test_a_storm_of_refreshes_and_a_logout_on_two_processes(
    processes: list[auth_pb2_grpc.AuthServiceAsyncStub], migrated_url: str
) -> None:
    one, two = processes
    await one.Register(auth_pb2.RegisterRequest(email=EMAIL, password=PASSWORD), timeout=20)
    login = await two.Login(auth_pb2.LoginRequest(email=EMAIL, password=PASSWORD), timeout=20)

    request = auth_pb2.RefreshTokenRequest(refresh_token=login.refresh_token)
    pairs = await asyncio.gather(
        *(processes[number % 2].RefreshToken(request, timeout=20) for number in range(STORM))
    )
    (successor,) = {pair.refresh_token for pair in pairs}
    assert successor != login.refresh_token
    with psycopg.connect(migrated_url) as connection:
        row = connection.execute(
            "select count(*) filter (where rotated_at is null and not revoked), count(*) from auth.sessions"
        ).fetchone()
    assert row == (1, 2)
    tokens = [login.access_token, *(pair.access_token for pair in pairs[:4])]
    for stub in processes:
        assert {await believed(stub, token) for token in tokens} == {"OK"}

    await one.Logout(auth_pb2.LogoutRequest(refresh_token=successor), timeout=20)
    ended = time.monotonic()
    for stub in processes:
        for token in tokens:
            while await believed(stub, token) != "UNAUTHENTICATED":
                assert time.monotonic() - ended < BOUND, "the access token outlived its session"
                await asyncio.sleep(0.02)
    for stub in processes:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=successor), timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
