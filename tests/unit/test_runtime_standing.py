"""Streams last as long as their callers may make them, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from antiphon.analytics.v1 import analytics_pb2

from services.kernel.errors import PermissionDenied, ServiceError, Unauthenticated, Unavailable
from services.kernel.policy import Access, Policy
from services.kernel.principal import Kind, Principal
from services.kernel.request import Request
from services.runtime.call import Call, Method, Proceed
from services.runtime.interceptors.authentication import Authentication
from tests.fakes.metering_memory import until

ANA = Principal(Kind.USER, user_id="ana")
ROOT = Principal(Kind.ADMIN, user_id="ana")
REVOKED = Unauthenticated("This token was revoked.", reason="TOKEN_REVOKED")
AWAY = Unavailable("Auth is away.")
SECONDS = 0.002


class Scripted:
    """An authenticator that says what was written down, the last of it for ever."""

    def __init__(self, *said: Principal | Exception | None) -> None:
        self.said = list(said)
        self.asked = 0

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal | None:
        self.asked += 1
        answer = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def until_it_is_ended(call: Call) -> Any:
    await asyncio.Event().wait()


def call_of(
    script: Scripted,
    serve: Proceed = until_it_is_ended,
    access: Access = Access.USER,
    *,
    streams: bool = True,
) -> Any:
    method = Method(
        "/a/Watch",
        Policy(access, scope="", limit="", idempotent=True),
        analytics_pb2.WatchUsageRequest,
        analytics_pb2.WatchUsageResponse,
        request_streaming=False,
        response_streaming=streams,
        behavior=lambda *_: None,
    )
    call = Call(cast(Any, SimpleNamespace()), None, (), Request("", "/a/Watch"))
    return Authentication(script, recheck_seconds=SECONDS).bind(method, serve)(call)


async def outcome(call: Any) -> Any:
    """What became of the call, after which no task is left of it."""
    async with asyncio.timeout(5):
        found = (await asyncio.gather(asyncio.create_task(call), return_exceptions=True))[0]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return found


@pytest.mark.parametrize("access", [Access.USER, Access.ADMIN])
async def test_a_stream_ends_with_the_reason_for_which_its_caller_is_refused(access: Access) -> None:
    script = Scripted(ROOT, ROOT, ROOT, REVOKED)
    assert await outcome(call_of(script, access=access)) is REVOKED
    assert script.asked == 4


async def test_who_is_no_administrator_any_more_is_refused() -> None:
    found = await outcome(call_of(Scripted(ROOT, ANA), access=Access.ADMIN))
    assert isinstance(found, PermissionDenied)


async def test_a_defect_of_the_check_lets_nobody_go_on() -> None:
    defect = RuntimeError("a defect")
    assert await outcome(call_of(Scripted(ANA, defect))) is defect


async def test_a_stream_outlasts_a_time_in_which_nothing_can_be_told() -> None:
    script = Scripted(ANA, AWAY, AWAY, ANA, AWAY, ANA)

    async def serve(call: Call) -> str:
        await until(lambda: script.asked >= 8)
        return "whole"

    assert await outcome(call_of(script, serve)) == "whole"


async def test_a_stream_that_ends_by_itself_leaves_nothing_behind() -> None:
    async def serve(call: Call) -> str:
        return "whole"

    assert await outcome(call_of(Scripted(ANA), serve)) == "whole"


async def test_a_failure_of_the_stream_is_its_own() -> None:
    failure = ServiceError("it broke")

    async def serve(call: Call) -> None:
        raise failure

    assert await outcome(call_of(Scripted(ANA), serve)) is failure


async def test_what_the_stream_has_to_close_is_closed_before_its_end() -> None:
    closed = False

    async def serve(call: Call) -> None:
        nonlocal closed
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(SECONDS)
            closed = True

    assert await outcome(call_of(Scripted(ANA, REVOKED), serve)) is REVOKED
    assert closed


async def test_a_caller_who_leaves_ends_the_asking() -> None:
    script = Scripted(ANA)
    call = asyncio.create_task(call_of(script))
    await until(lambda: script.asked >= 3)
    call.cancel()
    assert isinstance(await outcome(_awaited(call)), asyncio.CancelledError)
    assert call.cancelled()


async def test_a_caller_who_leaves_as_they_are_refused_has_left() -> None:
    script = Scripted(ANA, REVOKED)
    began = asyncio.Event()

    async def serve(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            began.set()
            await asyncio.Event().wait()

    call = asyncio.create_task(call_of(script, serve))
    await began.wait()
    call.cancel()
    assert isinstance(await outcome(_awaited(call)), asyncio.CancelledError)


@pytest.mark.parametrize(
    ("access", "streams"), [(Access.USER, False), (Access.OPTIONAL, True), (Access.SERVICE, True)]
)
async def test_other_calls_are_asked_once(access: Access, streams: bool) -> None:
    script = Scripted(Principal(Kind.SERVICE, service="chat", user_id="ana"), REVOKED)

    async def serve(call: Call) -> str:
        await asyncio.sleep(10 * SECONDS)
        return "whole"

    assert await outcome(call_of(script, serve, access, streams=streams)) == "whole"
    assert script.asked == 1


async def _awaited(call: asyncio.Task[Any]) -> Any:
    return await call
