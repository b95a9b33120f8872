"""A call's way through the runtime, as its caller sees it."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2

from services.kernel.errors import (
    InvalidArgument,
    NotFound,
    QuotaViolation,
    ResourceExhausted,
    Unavailable,
    Violation,
)
from services.settings import ServerSettings
from tests.fakes.runtime_services import Behaviour, Running, bearer, details, reason, request_id_of, running

LIMIT = 64 * 1024


@pytest.fixture
def log_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@pytest.fixture
async def suite(log_file: int) -> AsyncIterator[Running]:
    settings = ServerSettings(port=0, grace=0.2, max_message_bytes=LIMIT, max_concurrent_calls=5)
    async with running(log_file, settings=settings) as found:
        yield found


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a server tells nobody when a line is written.
            await asyncio.sleep(0.01)


def message(text: str = "Hello") -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(message=text)


async def _consume(call: Any) -> None:
    if hasattr(call, "__aiter__"):
        async for _ in call:
            pass
    else:
        await call


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _consume(call)
    return caught.value


async def test_a_unary_call_is_answered(suite: Running) -> None:
    response = await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user"))
    assert response.user.user_id == "ana"


async def test_a_stream_is_answered_event_by_event(suite: Running) -> None:
    suite.behaviour.hold = asyncio.Event()
    call = suite.chat.StreamChat(message())
    seen = []
    async for response in call:
        seen.append(response.event.seq)
        if len(seen) == 1:
            assert not suite.behaviour.ended.is_set()
            suite.behaviour.hold.set()
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("given", ["abc-123", "x" * 128])
async def test_the_callers_request_id_is_kept(suite: Running, given: str) -> None:
    call = suite.auth.GetProfile(
        auth_pb2.GetProfileRequest(), metadata=(*bearer("user"), ("x-request-id", given))
    )
    await call
    assert request_id_of(await call.trailing_metadata()) == given
    assert suite.behaviour.seen[0].request_id == given


@pytest.mark.parametrize("given", [None, "x" * 129, "", " "])
async def test_a_request_id_that_is_missing_or_unfit_is_replaced(suite: Running, given: str | None) -> None:
    metadata = bearer("user") if given is None else (*bearer("user"), ("x-request-id", given))
    calls = [suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata) for _ in range(2)]
    await asyncio.gather(*calls)
    first, second = [request_id_of(await call.trailing_metadata()) for call in calls]
    assert first != second
    assert first != given
    assert len(first) > 10


async def test_errors_and_streams_carry_the_request_id_too(suite: Running) -> None:
    error = await failure(
        suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=(("x-request-id", "r1"),))
    )
    assert request_id_of(error.trailing_metadata()) == "r1"
    call = suite.chat.StreamChat(message(), metadata=(("x-request-id", "r2"),))
    assert len([response async for response in call]) == 3
    assert request_id_of(await call.trailing_metadata()) == "r2"


async def test_details_say_what_failed(suite: Running) -> None:
    suite.behaviour.profile_error = ResourceExhausted(
        "Too fast.",
        reason="RATE_LIMITED",
        metadata={"limit": "chat"},
        retry_after=1.5,
        quota=QuotaViolation("user:ana", "chat 60/min"),
    )
    error = await failure(suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user")))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "Too fast."
    found = details(error)
    assert (found["ErrorInfo"].reason, dict(found["ErrorInfo"].metadata)) == (
        "RATE_LIMITED",
        {"limit": "chat"},
    )
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 1500
    assert found["QuotaFailure"].violations[0].subject == "user:ana"


async def test_what_is_missing_is_named(suite: Running) -> None:
    suite.behaviour.profile_error = NotFound.of("chat.session", "123")
    error = await failure(suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user")))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert details(error)["ResourceInfo"].resource_type == "chat.session"


async def test_a_stream_can_fail_half_way_with_details(suite: Running) -> None:
    suite.behaviour.stream_error = Unavailable(
        "The provider failed.", reason="PROVIDER_UNAVAILABLE", retry_after=2
    )
    call: Any = suite.chat.StreamChat(message())
    assert [(await call.read()).event.seq for _ in range(3)] == [1, 2, 3]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    error = caught.value
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(error) == "PROVIDER_UNAVAILABLE"
    assert details(error)["RetryInfo"].retry_delay.seconds == 2


async def test_a_failure_of_any_length_still_arrives_with_details(suite: Running) -> None:
    violations = [Violation(f"field{number}", "é" * 5000) for number in range(500)]
    metadata = {"detail": "ü" * 5000}
    suite.behaviour.profile_error = InvalidArgument("é" * 100_000, violations=violations, metadata=metadata)
    error = await failure(suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_what_nobody_foresaw_is_masked_and_logged_under_the_request_id(
    suite: Running, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    defect = RuntimeError("password=hunter2 in table users")
    suite.behaviour.profile_error = suite.behaviour.stream_error = defect
    metadata = (*bearer("user"), ("x-request-id", "r7"))
    error = await failure(
        suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)
        if kind == "unary"
        else suite.chat.StreamChat(message(), metadata=metadata)
    )
    assert error.code() is grpc.StatusCode.INTERNAL
    assert details(error)["ErrorInfo"].metadata["request_id"] == "r7"
    assert "hunter2" not in str(error.details()) + str(error.trailing_metadata())
    logged = [record for record in caplog.records if record.exc_info]
    assert logged
    assert logged[0].exc_info is not None
    assert logged[0].exc_info[1] is defect


async def test_the_callers_deadline_and_address_are_known_to_the_service(suite: Running) -> None:
    await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user"), timeout=30)
    await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user"))
    with_deadline, without = suite.behaviour.seen
    assert with_deadline.deadline is not None
    assert 20 < with_deadline.deadline - time.monotonic() <= 31
    assert without.deadline is None
    assert without.address == "127.0.0.1"


async def test_a_caller_who_goes_away_ends_the_servicers_stream(suite: Running) -> None:
    suite.behaviour.hold = asyncio.Event()
    call = suite.chat.StreamChat(message())
    await call.read()
    await suite.behaviour.started.wait()
    call.cancel()
    async with asyncio.timeout(5):
        await suite.behaviour.ended.wait()
    await until(lambda: any(line["code"] == "CANCELLED" for line in suite.lines() if line["event"] == "call"))


async def test_more_calls_than_the_server_takes_are_refused_with_details(suite: Running) -> None:
    suite.behaviour.hold = asyncio.Event()
    calls = [suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user")) for _ in range(5)]
    await until(lambda: suite.server.calls_in_progress == 5)
    error = await failure(suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user")))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(error) == "OVERLOADED"
    suite.behaviour.hold.set()
    await asyncio.gather(*calls)


async def test_each_call_leaves_a_line_that_tells_nothing_secret(suite: Running) -> None:
    metadata = (*bearer("user"), ("x-request-id", "r9"), ("x-note", "private"))
    await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)
    assert [response async for response in suite.chat.StreamChat(message("my secret thoughts"))]
    await until(lambda: len(suite.lines()) == 2)
    unary, stream = suite.lines()
    assert unary["method"] == "/antiphon.auth.v1.AuthService/GetProfile"
    assert (unary["code"], unary["user_id"], unary["peer"], unary["request_id"]) == (
        "OK",
        "ana",
        "127.0.0.1",
        "r9",
    )
    assert unary["ms"] > 0
    assert stream["sent"] == 3
    for secret in ("Bearer", "private", "thoughts", "word1"):
        assert secret not in suite.log_text()


async def test_calls_are_counted(suite: Running) -> None:
    await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user"))
    await failure(suite.auth.GetProfile(auth_pb2.GetProfileRequest()))
    assert [response async for response in suite.chat.StreamChat(message())]

    def counted(name: str, **labels: str) -> float:
        suite.metrics.fold()
        return suite.metrics.registry.get_sample_value(name, labels) or 0.0

    profile, stream = "/antiphon.auth.v1.AuthService/GetProfile", "/antiphon.chat.v1.ChatService/StreamChat"
    await until(lambda: counted("antiphon_messages_sent_total", method=stream) == 3)
    assert counted("antiphon_calls_total", method=profile, code="OK") == 1
    assert counted("antiphon_calls_total", method=profile, code="UNAUTHENTICATED") == 1
    assert counted("antiphon_call_seconds_count", method=profile) == 2
    assert counted("antiphon_calls_in_flight", method=profile) == 0


async def test_a_thousand_calls_at_once_are_all_answered(log_file: int) -> None:
    async with running(log_file, behaviour=Behaviour()) as suite:
        calls = [
            suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user")) for _ in range(1000)
        ]
        assert len(await asyncio.gather(*calls)) == 1000
        await until(lambda: suite.log_text().count("\n") == 1000)
        assert os.fstat(log_file).st_size > 0
