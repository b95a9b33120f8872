"""What the runtime refuses before a service sees it: by policy, by rule, by size."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2

from services.runtime.interceptors.decoding import PUBLIC_BYTES
from services.settings import ServerSettings
from tests.fakes.runtime_services import Running, bearer, details, reason, request_id_of, running

LIMIT = 128 * 1024


@pytest.fixture
def log_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@pytest.fixture
async def suite(log_file: int) -> AsyncIterator[Running]:
    settings = ServerSettings(port=0, grace=0.2, max_message_bytes=LIMIT, max_concurrent_calls=5)
    async with running(log_file, settings=settings) as found:
        yield found


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


async def test_every_field_that_breaks_its_rule_is_named_once(suite: Running) -> None:
    request = auth_pb2.RegisterRequest(email="no address", password="x")
    error = await failure(suite.auth.Register(request))
    # Register is not built here: that is told before the message is looked at.
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    error = await failure(suite.auth.Login(auth_pb2.LoginRequest(email="no address", password="")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    fields = [violation.field for violation in details(error)["BadRequest"].field_violations]
    assert sorted(fields) == sorted(set(fields))
    assert "password" in fields
    assert "password" in str(error.details())


async def test_a_nested_field_is_named_by_its_path(suite: Running) -> None:
    request = chat_pb2.StreamChatRequest(
        conversation=chat_pb2.Conversation(
            messages=[chat_pb2.Message(role=chat_pb2.MESSAGE_ROLE_USER), chat_pb2.Message()]
        )
    )
    error = await failure(suite.chat.StreamChat(request))
    fields = {violation.field for violation in details(error)["BadRequest"].field_violations}
    assert "conversation.messages[1].role" in fields


async def test_bytes_that_are_no_message_are_refused(suite: Running) -> None:
    call: Any = suite.channel.unary_unary("/antiphon.auth.v1.AuthService/Login")
    error = await failure(call(b"\xff\xff\xff"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error) == "INVALID_ARGUMENT"


async def test_a_message_over_the_limit_is_refused_with_details(suite: Running) -> None:
    error = await failure(suite.chat.StreamChat(message("x" * (LIMIT + 1))))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(error) == "MESSAGE_TOO_LARGE"


async def test_who_shows_no_credential_may_not_send_much_where_none_is_looked_at(suite: Running) -> None:
    large = "x" * PUBLIC_BYTES
    error = await failure(suite.auth.Login(auth_pb2.LoginRequest(email="ana@example.com", password=large)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason(error) == "MESSAGE_TOO_LARGE"
    assert str(PUBLIC_BYTES) in str(error.details())
    assert await suite.chat.StreamChat(message(large)).read() is not grpc.aio.EOF


async def test_a_message_far_over_the_limit_is_refused_and_the_connection_lives(suite: Running) -> None:
    error = await failure(suite.chat.StreamChat(message("x" * (LIMIT + 2 * 1024**2))))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user"))


async def test_an_rpc_that_nobody_knows_is_unimplemented(suite: Running) -> None:
    call: Any = suite.channel.unary_unary("/antiphon.auth.v1.AuthService/Conjure")
    error = await failure(call(b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert details(error)["ErrorInfo"].metadata["method"] == "/antiphon.auth.v1.AuthService/Conjure"
    assert request_id_of(error.trailing_metadata())


async def test_an_rpc_that_is_not_built_says_so_to_whom_it_would_serve(suite: Running) -> None:
    request = chat_pb2.ForkSessionRequest()
    error = await failure(suite.chat.ForkSession(request, metadata=bearer("user")))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reason(error) == "NOT_IMPLEMENTED"
    assert details(error)["ErrorInfo"].metadata["method"] == "/antiphon.chat.v1.ChatService/ForkSession"
    assert (await failure(suite.chat.ForkSession(request))).code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("rpc", "caller", "expected"),
    [
        ("GetProfile", None, "CREDENTIAL_MISSING"),
        ("GetProfile", "garbage", "TOKEN_INVALID"),
        ("GetProfile", "user", None),
        ("GetProfile", "admin", None),
        ("GetProfile", "service", "ROLE_REQUIRED"),
        ("GetProfile", "service-for-ana", None),
        ("GetProfile", "key", "SCOPE_REQUIRED"),
        ("ListUsers", "user", "ROLE_REQUIRED"),
        ("ListUsers", "service", "ROLE_REQUIRED"),
        ("ListUsers", "admin", None),
        ("VerifyToken", "admin", "ROLE_REQUIRED"),
        ("VerifyToken", None, "CREDENTIAL_MISSING"),
    ],
)
async def test_the_policy_decides_who_may_call(
    suite: Running, rpc: str, caller: str | None, expected: str | None
) -> None:
    request: Any = {
        "GetProfile": auth_pb2.GetProfileRequest(),
        "ListUsers": auth_pb2.ListUsersRequest(),
        "VerifyToken": auth_pb2.VerifyTokenRequest(token="t"),
    }[rpc]
    call = getattr(suite.auth, rpc)(request, metadata=bearer(caller) if caller else ())
    if expected is None:
        await call
    else:
        assert reason(await failure(call)) == expected


async def test_a_public_rpc_looks_at_no_credential(suite: Running) -> None:
    request = auth_pb2.LoginRequest(email="ana@example.com", password="correct horse")
    await suite.auth.Login(request, metadata=bearer("garbage"))
    assert suite.behaviour.seen[0].principal.is_anonymous


async def test_an_optional_rpc_takes_anonymous_callers_and_refuses_bad_credentials(suite: Running) -> None:
    assert len([response async for response in suite.chat.StreamChat(message())]) == 3
    assert suite.behaviour.seen[0].principal.is_anonymous
    error = await failure(suite.chat.StreamChat(message(), metadata=bearer("garbage")))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
