"""Who may not call any more is streamed to no more."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.auth.v1 import auth_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from tests.fakes.analytics_calls import EVERYTHING
from tests.fakes.served_suite import Served, bearer, failed, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse battery staple"
SOON = 3.5
"""Seconds: 2 until the process knows, 1 until it asks, and some for a busy machine."""


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return EVERYTHING


async def login(suite: Served) -> auth_pb2.LoginResponse:
    email = f"{uuid.uuid4()}@example.com"
    await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
    response: auth_pb2.LoginResponse = await suite.auth.Login(
        auth_pb2.LoginRequest(email=email, password=PASSWORD)
    )
    return response


async def watching(suite: Served, logged_in: auth_pb2.LoginResponse) -> Any:
    """A stream that has begun."""
    watch = suite.analytics.WatchUsage(
        analytics_pb2.WatchUsageRequest(), metadata=bearer(logged_in.access_token)
    )
    await anext(aiter(watch))
    return watch


async def end_of(watch: Any) -> tuple[grpc.StatusCode, str]:
    """How it ended, within a few seconds."""
    async with asyncio.timeout(SOON):
        try:
            async for _ in watch:
                pass
        except grpc.aio.AioRpcError as error:
            return failed(error).code, failed(error).reason
    raise AssertionError("it ended well")


async def test_a_stream_ends_with_the_login_session_that_it_was_begun_with(suite: Served) -> None:
    ana, ben = await login(suite), await login(suite)
    hers, his = await watching(suite, ana), await watching(suite, ben)
    await suite.auth.Logout(auth_pb2.LogoutRequest(refresh_token=ana.refresh_token))
    assert await end_of(hers) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")
    assert not his.done()
    his.cancel()


async def test_a_stream_of_somebody_who_was_disabled_ends(suite: Served) -> None:
    ana = await login(suite)
    watch = await watching(suite, ana)
    await suite.auth.UpdateUser(
        auth_pb2.UpdateUserRequest(
            user=auth_pb2.User(user_id=ana.user.user_id, disabled=True),
            update_mask=FieldMask(paths=["disabled"]),
        ),
        metadata=await suite.administrator(),
    )
    assert await end_of(watch) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")


async def test_a_caller_who_leaves_takes_the_asking_along(suite: Served) -> None:
    watch = await watching(suite, await login(suite))

    def asking() -> int:
        return sum("while_standing" in str(task.get_coro()) for task in asyncio.all_tasks())

    before = asking()
    assert before
    watch.cancel()

    async def gone() -> bool:
        return asking() < before

    assert await until(gone)
