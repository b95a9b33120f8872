"""Rate limits of two replicas over one database: together they let a caller through exactly as often as its limit says."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call

from tests.e2e.suite_process import SuiteProcess

StartSuite = Callable[..., SuiteProcess]
KEY = "0123456789-0123456789-0123456789-0123456789"
DEFAULT, CHAT, ANONYMOUS, LOGIN = 20, 10, 4, 3


@dataclass(frozen=True)
class Told:
    """How a call ended that was asked and answered at these monotonic seconds: `retry` in seconds if it was refused, `remaining` by its
    trailing metadata."""

    code: str
    asked: float
    answered: float
    retry: float | None = None
    remaining: int | None = None


async def told(ask: Callable[[], Any]) -> Told:
    asked, retry, code = time.monotonic(), None, "OK"
    call = ask()
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        code = error.code().name
        status = from_call(error)  # type: ignore[arg-type]
        for detail in status.details if status is not None else ():
            info = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                retry = info.retry_delay.ToNanoseconds() / 1e9
    answered = time.monotonic()
    found = {key: value for key, value in await call.trailing_metadata() if key.startswith("ratelimit-")}
    if retry is not None:
        # Whole seconds, none too few.
        assert int(found["ratelimit-reset"]) == math.ceil(retry)
    return Told(code, asked, answered, retry, int(found["ratelimit-remaining"]) if found else None)


async def hammer(
    channels: list[grpc.aio.Channel], ask: Callable[[grpc.aio.Channel], Any], times: int
) -> list[Told]:
    """Call all replicas at once, each so many times."""
    return await asyncio.gather(*(told(partial(ask, channel)) for _ in range(times) for channel in channels))


def assert_exactly(limit: int, found: list[Told]) -> None:
    let_in = [one for one in found if one.code == "OK"]
    refused = [one for one in found if one.code == "RESOURCE_EXHAUSTED"]
    assert len(let_in) + len(refused) == len(found)
    assert len(let_in) == limit
    assert sorted(one.remaining or 0 for one in let_in) == list(range(limit))
    assert_one_end(refused)


def assert_one_end(refused: list[Told]) -> None:
    """Whichever replica says it, and whenever: the window ends at one moment, true to a tenth of a second."""
    assert all(0 < (one.retry or 0) <= 60 for one in refused)
    # It was told at some moment between question and answer.
    earliest = max(one.asked + (one.retry or 0) for one in refused)
    latest = min(one.answered + (one.retry or 0) for one in refused)
    assert earliest - latest < 0.1


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def play(addresses: list[str], token: str) -> None:
    channels = [grpc.aio.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) for address in addresses]
    try:

        def sessions(to: grpc.aio.Channel) -> Any:
            return chat_pb2_grpc.ChatServiceStub(to).ListSessions(
                chat_pb2.ListSessionsRequest(), metadata=metadata(token)
            )

        def profile(to: grpc.aio.Channel) -> Any:
            return auth_pb2_grpc.AuthServiceStub(to).GetProfile(
                auth_pb2.GetProfileRequest(), metadata=metadata(token)
            )

        def chat(to: grpc.aio.Channel) -> Any:
            return chat_pb2_grpc.ChatServiceStub(to).StreamChat(
                chat_pb2.StreamChatRequest(message="Hello"), metadata=metadata(token)
            )

        def anonymous(to: grpc.aio.Channel) -> Any:
            return chat_pb2_grpc.ChatServiceStub(to).StreamChat(chat_pb2.StreamChatRequest(message="Hello"))

        def guess(to: grpc.aio.Channel) -> Any:
            request = auth_pb2.LoginRequest(email="nobody@example.com", password="wrong horse")
            return auth_pb2_grpc.AuthServiceStub(to).Login(request)

        early = await hammer(channels, sessions, 30)
        assert_exactly(DEFAULT, early)
        # A service counts for itself.
        assert_exactly(DEFAULT, await hammer(channels, profile, 30))
        assert_exactly(CHAT, await hammer(channels, chat, 15))
        assert_exactly(ANONYMOUS, await hammer(channels, anonymous, 6))
        guesses = await hammer(channels, guess, 5)
        assert (
            sorted(one.code for one in guesses)
            == ["RESOURCE_EXHAUSTED"] * (10 - LOGIN) + ["UNAUTHENTICATED"] * LOGIN
        )
        # The wait gets shorter as time passes, and a refused call does not make it longer.
        later = await hammer(channels, sessions, 3)
        assert {one.code for one in later} == {"RESOURCE_EXHAUSTED"}
        assert_one_end([one for one in (*early, *later) if one.code != "OK"])
    finally:
        for channel in channels:
            await channel.close()


@pytest.mark.long
def test_two_replicas_let_exactly_the_limit_through_together(
    tmp_path: Path, migrated_url: str, start_suite: StartSuite
) -> None:
    settings = {
        "DATABASE_URL": migrated_url,
        "ANTIPHON_SECRET_KEY": KEY,
        "ANTIPHON_CHAT__ECHO_INTERVAL_MS": "0",
        "ANTIPHON_LIMITS__DEFAULT": str(DEFAULT),
        "ANTIPHON_LIMITS__CHAT": str(CHAT),
        "ANTIPHON_LIMITS__CHAT_ANONYMOUS": str(ANONYMOUS),
        "ANTIPHON_LIMITS__LOGIN": str(LOGIN),
        "ANTIPHON_AUTH__LOGIN_FAILURES": "0",
    }
    first = start_suite(tmp_path / "first", settings=settings).up()
    second = start_suite(tmp_path / "second", settings=settings).up()
    token = second.register()
    asyncio.run(play([first.address, second.address], token))
    assert first.stop() == 0
    assert second.stop() == 0
