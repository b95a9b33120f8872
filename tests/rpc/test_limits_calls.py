"""Rate limits as a caller meets them: on the real runtime, counted in memory and in PostgreSQL, and when nobody counts."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.capabilities.limits.wiring import build
from services.infra.postgres.database import Database
from services.runtime.mounted import Mounted
from services.settings import LimitSettings, ServerSettings
from services.settings.addresses import NETWORKS
from tests.fakes.runtime_services import (
    AuthDouble,
    Behaviour,
    ChatDouble,
    Running,
    bearer,
    details,
    reason,
    request_id_of,
    running,
)

KEY = b"the key of a deployment"
NETWORK = NETWORKS.parse("127.0.0.0/8")


@pytest.fixture
def log_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@asynccontextmanager
async def limited(
    log_file: int,
    database: Database,
    *,
    sole_owner: bool,
    server: ServerSettings | None = None,
    **numbers: int,
) -> AsyncIterator[Running]:
    behaviour, settings = Behaviour(), LimitSettings(**numbers)
    async with AsyncExitStack() as stack:
        auth, chat = [
            await stack.enter_async_context(build(settings, database, schema, key=KEY, sole_owner=sole_owner))
            for schema in ("auth", "chat")
        ]
        mounted = [
            Mounted("auth", {"antiphon.auth.v1.AuthService": AuthDouble(behaviour)}, limits=auth),
            Mounted("chat", {"antiphon.chat.v1.ChatService": ChatDouble(behaviour)}, limits=chat),
        ]
        settings_of_server = server or ServerSettings(port=0, grace=0.2)
        yield await stack.enter_async_context(
            running(log_file, behaviour=behaviour, mounted=mounted, settings=settings_of_server)
        )


Serve = Callable[..., Any]
Ask = Callable[[], Any]
"""A call that has not been made yet."""


@pytest.fixture(params=["memory", "postgres"])
async def serve(request: pytest.FixtureRequest, log_file: int) -> AsyncIterator[Serve]:
    """Serves with these numbers; in memory, or with the counts in a database."""
    async with AsyncExitStack() as stack:
        in_memory = request.param == "memory"
        if in_memory:
            database = unreachable()
        else:
            url = request.getfixturevalue("migrated_url")
            database = await stack.enter_async_context(Database(url, min_size=1, max_size=4))

        def start(**numbers: Any) -> Any:
            return limited(log_file, database, sole_owner=in_memory, **numbers)

        yield start


def unreachable() -> Database:
    return Database("postgresql://127.0.0.1:1/nothing")


def profile(suite: Running, caller: str = "user") -> Ask:
    return partial(suite.auth.GetProfile, auth_pb2.GetProfileRequest(), metadata=bearer(caller))


def login(suite: Running, email: str = "ana@example.com", **metadata: str) -> Ask:
    request = auth_pb2.LoginRequest(email=email, password="correct horse")
    return partial(suite.auth.Login, request, metadata=tuple(metadata.items()))


def stream(suite: Running, caller: str = "") -> Ask:
    metadata = bearer(caller) if caller else ()
    return partial(suite.chat.StreamChat, chat_pb2.StreamChatRequest(message="Hello"), metadata=metadata)


async def told(ask: Ask) -> tuple[grpc.aio.AioRpcError | None, dict[str, str]]:
    """How a call failed, and its `ratelimit-*` metadata."""
    error, call = None, ask()
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as failed:
        error = failed
    metadata = await call.trailing_metadata()
    assert request_id_of(metadata)
    return error, {key: value for key, value in metadata if key.startswith("ratelimit-")}


async def codes(*asks: Ask) -> list[str]:
    """How the calls end, one made after the other."""
    found = [(await told(ask))[0] for ask in asks]
    return ["OK" if error is None else error.code().name for error in found]


async def test_calls_past_the_limit_are_refused_with_all_that_a_caller_needs(serve: Serve) -> None:
    async with serve(default=2) as suite:
        first, second = [await told(profile(suite)) for _ in range(2)]
        assert [error for error, _ in (first, second)] == [None, None]
        assert first[1] | {"ratelimit-reset": "60"} == {
            "ratelimit-limit": "2",
            "ratelimit-remaining": "1",
            "ratelimit-reset": "60",
        }
        assert second[1]["ratelimit-remaining"] == "0"
        error, headers = await told(profile(suite))
        assert error is not None
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found = details(error)
        assert reason(error) == "RATE_LIMITED"
        assert dict(found["ErrorInfo"].metadata) == {"limit": "default"}
        violation = found["QuotaFailure"].violations[0]
        assert (violation.subject, violation.description) == ("user", "default: 2 calls per minute")
        retry = found["RetryInfo"].retry_delay.ToNanoseconds() / 1e9
        assert 50 < retry <= 60
        assert headers["ratelimit-limit"] == "2"
        assert headers["ratelimit-remaining"] == "0"
        assert 0 <= int(headers["ratelimit-reset"]) - retry < 1
        # The behaviour was not reached, and other classes count apart.
        assert len(suite.behaviour.seen) == 2
        assert await codes(login(suite)) == ["OK"]


async def test_exactly_the_limit_gets_through_at_once(serve: Serve) -> None:
    async with serve(default=20) as suite:
        found = await asyncio.gather(*(told(profile(suite)) for _ in range(50)))
        assert sum(error is None for error, _ in found) == 20
        left = sorted(int(headers["ratelimit-remaining"]) for error, headers in found if error is None)
        assert left == list(range(20))


async def test_a_user_a_key_and_a_service_for_the_user_are_counted_as_such(serve: Serve) -> None:
    async with serve(chat=1, chat_anonymous=1) as suite:
        assert await codes(stream(suite, "user"), stream(suite, "user")) == ["OK", "RESOURCE_EXHAUSTED"]
        assert await codes(stream(suite, "service-for-ana")) == ["RESOURCE_EXHAUSTED"]
        assert await codes(stream(suite, "service"), stream(suite, "service")) == ["OK", "OK"]
        assert await codes(stream(suite), stream(suite)) == ["OK", "RESOURCE_EXHAUSTED"]
        error, headers = await told(stream(suite))
        assert error is not None
        assert details(error)["QuotaFailure"].violations[0].subject == "address"
        assert headers["ratelimit-limit"] == "1"


async def test_a_stream_tells_what_is_left_at_its_end_also_when_it_fails(serve: Serve) -> None:
    async with serve(chat=5) as suite:
        error, headers = await told(stream(suite, "user"))
        assert error is None
        assert headers["ratelimit-remaining"] == "4"
        suite.behaviour.stream_error = RuntimeError("a defect")
        error, headers = await told(stream(suite, "user"))
        assert error is not None
        assert error.code() is grpc.StatusCode.INTERNAL
        assert headers["ratelimit-remaining"] == "3"


async def test_guesses_are_counted_by_account_and_mistakes_too(serve: Serve) -> None:
    async with serve(login=2) as suite:
        assert await codes(login(suite), login(suite, "ANA@example.com"), login(suite)) == [
            "OK",
            "OK",
            "RESOURCE_EXHAUSTED",
        ]
        assert await codes(login(suite, "ben@example.com")) == ["OK"]
        # What breaks the rules counts, and is told what is wrong with it until then.
        assert await codes(*(login(suite, "") for _ in range(3))) == [
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            "RESOURCE_EXHAUSTED",
        ]


async def test_the_messages_of_who_is_refused_are_not_read(serve: Serve) -> None:
    async with serve(chat_anonymous=1) as suite:
        call: Any = suite.channel.unary_stream("/antiphon.chat.v1.ChatService/StreamChat")
        # It counts, though it is no message.
        assert await codes(*[partial(call, b"\xff\xff\xff")] * 2) == [
            "INVALID_ARGUMENT",
            "RESOURCE_EXHAUSTED",
        ]


async def test_accounts_that_are_made_up_are_stopped_and_leave_no_rows(serve: Serve) -> None:
    async with serve(login=1) as suite:
        found = await codes(*(login(suite, f"{number}@example.com") for number in range(25)))
        assert found == ["OK"] * 20 + ["RESOURCE_EXHAUSTED"] * 5
        error, headers = await told(login(suite))
        assert error is not None
        assert details(error)["QuotaFailure"].violations[0].subject == "address"
        assert headers["ratelimit-limit"] == "20"


async def test_a_proxy_that_is_trusted_says_whose_call_it_is(serve: Serve) -> None:
    server = ServerSettings(port=0, grace=0.2, trusted_proxies=NETWORK)
    async with serve(login=1, server=server) as suite:
        home, office = {"x-forwarded-for": "192.0.2.1"}, {"x-forwarded-for": "192.0.2.2"}
        assert await codes(login(suite, **home), login(suite, **home), login(suite, **office)) == [
            "OK",
            "RESOURCE_EXHAUSTED",
            "OK",
        ]
        assert [request.address for request in suite.behaviour.seen] == ["192.0.2.1", "192.0.2.2"]


async def test_a_proxy_that_nobody_trusts_says_nothing(serve: Serve) -> None:
    async with serve(login=1) as suite:
        calls = [login(suite, **{"x-forwarded-for": f"192.0.2.{number}"}) for number in range(2)]
        assert await codes(*calls) == ["OK", "RESOURCE_EXHAUSTED"]
        assert suite.behaviour.seen[0].address == "127.0.0.1"


async def test_zero_is_off_and_says_nothing(serve: Serve) -> None:
    async with serve(default=0) as suite:
        assert await told(profile(suite)) == (None, {})


async def test_health_and_rpcs_without_a_class_are_not_counted(serve: Serve) -> None:
    async with serve(default=1, admin=1) as suite:
        health: Any = health_pb2_grpc.HealthStub(suite.channel)
        for _ in range(3):
            await health.Check(health_pb2.HealthCheckRequest())
            await suite.auth.VerifyToken(auth_pb2.VerifyTokenRequest(token="x"), metadata=bearer("service"))


async def test_who_may_not_call_is_told_so_and_not_counted(serve: Serve) -> None:
    async with serve(admin=1) as suite:
        for _ in range(2):
            ask = partial(suite.auth.ListUsers, auth_pb2.ListUsersRequest(), metadata=bearer("user"))
            error, headers = await told(ask)
            assert error is not None
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert headers == {}


async def test_while_the_database_is_away_guesses_are_refused_and_the_rest_passes(log_file: int) -> None:
    async with limited(log_file, unreachable(), sole_owner=False, default=1, login=1) as suite:
        for _ in range(3):
            assert await told(profile(suite)) == (None, {})
        error, _ = await told(login(suite))
        assert error is not None
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        found = details(error)
        assert reason(error) == "UNAVAILABLE"
        assert found["RetryInfo"].retry_delay.ToNanoseconds() == 1_000_000_000


async def test_accounts_are_not_in_the_database(log_file: int, migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1) as database:
        async with limited(log_file, database, sole_owner=False) as suite:
            await told(login(suite))
        async with database.connection() as connection:
            rows = await (await connection.execute("select class, caller, used from auth.limits")).fetchall()
    assert sorted((name, used) for name, _, used in rows) == [("login", 1), ("login address", 1)]
    for _, caller, _ in rows:
        assert "127.0.0.1" in caller
        assert "ana" not in caller
