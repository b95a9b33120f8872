"""Calls of the client: tried again when that is safe, with tokens that renew themselves, and errors that say all."""

import asyncio
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2

from antiphon_client import AsyncClient, Client, MemoryTokenStore, Retries, Timeouts, Tokens
from antiphon_client.errors import (
    AntiphonError,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServerError,
    Unauthenticated,
    Unreachable,
    Violation,
)
from tests.scripted_server import BROKEN, EXPIRED, SESSION_ID, ScriptedServer, access_token, failing

QUICK = Retries(first_delay=0.001, max_delay=0.05)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.address, retries=QUICK) as made:
        yield made


def logged_in(server: ScriptedServer, *, lives: float = 900.0) -> MemoryTokenStore:
    response = server.issue("first")
    return MemoryTokenStore(
        Tokens(response.access_token, time.time() + lives, response.refresh_token, time.time() + 9999)
    )


def test_an_unavailable_server_is_tried_again_under_the_same_ids(
    client: Client, server: ScriptedServer
) -> None:
    server.fail(
        "CreateSession", BROKEN, failing(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", retry_after=0.01)
    )
    assert client.create_session(title="Trip").session_id == SESSION_ID
    calls = server.of("CreateSession")
    requests = [seen.request for seen in calls]
    assert all(
        isinstance(request, chat_pb2.CreateSessionRequest) and request.request_id for request in requests
    )
    assert requests[0] == requests[1] == requests[2]
    assert len({seen.metadata["x-request-id"] for seen in calls}) == 1


def test_every_creating_call_has_an_id_of_its_own(client: Client, server: ScriptedServer) -> None:
    client.register("a@example.com", "long enough")
    client.create_session()
    client.chat("Hi")
    list(client.stream("Hi"))
    ids = [seen.request.request_id for seen in server.calls]  # type: ignore[attr-defined]
    assert len(set(ids)) == 4
    assert "" not in ids
    client.create_session(request_id="0198c5a2-0000-4000-8000-000000000009")
    assert server.calls[-1].request.request_id.endswith("9")  # type: ignore[attr-defined]


def test_a_login_is_never_repeated(client: Client, server: ScriptedServer) -> None:
    server.fail("Login", BROKEN)
    with pytest.raises(Unreachable):
        client.login("ana@example.com", "correct horse")
    assert len(server.of("Login")) == 1


def test_tries_are_bounded(server: ScriptedServer) -> None:
    server.fail("GetJwks", *[BROKEN] * 9)
    with (
        Client(server.address, retries=Retries(attempts=3, first_delay=0)) as client,
        pytest.raises(Unreachable),
    ):
        client.jwks()
    assert len(server.calls) == 3


def test_a_pause_that_the_server_asks_for_is_kept_or_not_waited_for(server: ScriptedServer) -> None:
    limited = failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.2)
    server.fail(
        "GetJwks", limited, failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=60)
    )
    with Client(server.address, retries=Retries(first_delay=0, max_delay=1)) as client:
        began = time.monotonic()
        with pytest.raises(ResourceExhausted) as caught:
            client.jwks()
    assert 0.2 <= time.monotonic() - began < 5
    assert caught.value.retry_after == 60


def test_tries_keep_within_the_deadline(server: ScriptedServer) -> None:
    server.fail("GetJwks", *[BROKEN] * 50)
    with Client(server.address, retries=Retries(attempts=50, first_delay=0.1, max_delay=0.1)) as client:
        began = time.monotonic()
        with pytest.raises(AntiphonError):
            client.jwks(timeout=0.3)
        assert time.monotonic() - began < 2


def test_a_silent_server_runs_into_the_time_out(server: ScriptedServer) -> None:
    release = threading.Event()
    server.fail("GetJwks", lambda _: release.wait(10))
    with Client(server.address, timeouts=Timeouts(unary=0.1)) as client:
        with pytest.raises(DeadlineExceeded) as caught:
            client.jwks()
        assert "did not answer in time" in caught.value.message
        release.set()
        assert client.jwks(timeout=math.inf).jwks_json


def test_nobody_listens() -> None:
    retries = Retries(attempts=2, first_delay=0)
    with Client("127.0.0.1:1", retries=retries) as client, pytest.raises(Unreachable) as caught:
        client.profile()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert "127.0.0.1:1 can't be reached" in caught.value.message


def test_an_error_carries_what_the_server_said(client: Client, server: ScriptedServer) -> None:
    server.fail(
        "Chat",
        failing(
            grpc.StatusCode.INVALID_ARGUMENT,
            "CONTEXT_TOO_LONG",
            "the input is too long",
            violations=[("message", "is too long")],
            model="tiny",
        ),
    )
    with pytest.raises(InvalidArgument) as caught:
        client.chat("Hi")
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTEXT_TOO_LONG")
    assert (error.message, error.metadata) == ("the input is too long", {"model": "tiny"})
    assert error.violations == (Violation("message", "is too long"),)
    assert error.retry_after is None
    assert error.request_id == server.calls[0].metadata["x-request-id"]
    assert "CONTEXT_TOO_LONG" in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.INTERNAL, ServerError),
        (grpc.StatusCode.DATA_LOSS, ServerError),
        (grpc.StatusCode.UNKNOWN, ServerError),
    ],
)
def test_codes_without_details_have_types_too(
    client: Client, server: ScriptedServer, code: grpc.StatusCode, kind: type[AntiphonError]
) -> None:
    server.fail("GetSession", failing(code, message="plain"))
    with pytest.raises(kind) as caught:
        client.get_session(SESSION_ID)
    assert (caught.value.code, caught.value.reason) == (code, "")


def test_lists_fetch_their_pages(client: Client, server: ScriptedServer) -> None:
    server.sessions = [chat_pb2.Session(session_id=str(number)) for number in range(7)]
    assert [session.session_id for session in client.list_sessions(page_size=3, skip=1)] == list("123456")
    assert len(server.calls) == 2
    server.messages = [chat_pb2.Message(message_id=str(number)) for number in range(5)]
    first = next(iter(client.list_messages(SESSION_ID, page_size=2)))
    assert first.message_id == "0"
    assert len(server.of("ListMessages")) == 1


def test_a_login_is_remembered_until_the_logout(client: Client, server: ScriptedServer) -> None:
    assert client.access_token() == ""
    with pytest.raises(Unauthenticated) as caught:
        client.login("ana@example.com", "wrong")
    assert caught.value.reason == "INVALID_CREDENTIALS"
    response = client.login("ana@example.com", "correct horse")
    client.profile()
    assert server.calls[-1].token == response.access_token == client.access_token()
    client.list_models()
    assert server.calls[-1].token == ""
    client.logout()
    logout = server.of("Logout")[0].request
    assert isinstance(logout, auth_pb2.LogoutRequest)
    assert logout.refresh_token == "refresh-login"
    client.profile()
    assert server.calls[-1].token == ""


def test_an_expired_token_is_renewed_once_and_the_call_repeated(server: ScriptedServer) -> None:
    store = logged_in(server)
    server.valid_tokens = {"another"}
    with Client(server.address, store=store, retries=QUICK) as client:
        assert client.profile().email == "ana@example.com"
        assert [seen.method for seen in server.calls] == ["GetProfile", "RefreshToken", "GetProfile"]
        server.fail("GetProfile", EXPIRED, EXPIRED)
        with pytest.raises(Unauthenticated):
            client.profile()
    assert len(server.of("RefreshToken")) == 2


def test_a_token_is_renewed_shortly_before_its_end(server: ScriptedServer) -> None:
    with Client(server.address, store=logged_in(server, lives=10)) as client:
        client.profile()
    assert [seen.method for seen in server.calls] == ["RefreshToken", "GetProfile"]


def test_a_token_that_still_lives_is_used_when_it_can_not_be_renewed(server: ScriptedServer) -> None:
    server.fail("RefreshToken", failing(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"))
    store = logged_in(server, lives=10)
    with Client(server.address, store=store) as client:
        assert client.profile().email == "ana@example.com"


def test_a_refresh_token_alone_is_enough(server: ScriptedServer) -> None:
    with Client(server.address, refresh_token="refresh-first") as client:
        client.profile()
    assert server.calls[-1].token in server.valid_tokens


def test_a_token_alone_is_sent_as_it_is(server: ScriptedServer) -> None:
    with Client(server.address, token="ak_1_secret") as client:
        client.profile()
        assert server.calls[-1].token == "ak_1_secret"
        server.fail("GetProfile", EXPIRED)
        with pytest.raises(Unauthenticated):
            client.profile()
        with pytest.raises(Unauthenticated, match="log in"):
            client.refresh()
    assert server.of("RefreshToken") == []


def test_a_session_that_has_ended_says_so(server: ScriptedServer) -> None:
    server.fail("RefreshToken", failing(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED", "log in again"))
    store = logged_in(server, lives=-1)
    with Client(server.address, store=store) as client, pytest.raises(Unauthenticated) as caught:
        client.profile()
    assert caught.value.reason == "TOKEN_REVOKED"
    assert server.of("GetProfile") == []
    assert store.load() is not None


def test_a_wrong_clock_does_not_make_every_call_renew(server: ScriptedServer) -> None:
    response = server.issue("first")
    response.access_token = access_token("skewed", lifetime=900, age=86400)
    tokens = Tokens.of(response)
    assert tokens.usable("")
    assert "skewed" not in repr(tokens)


def test_many_threads_renew_once(server: ScriptedServer) -> None:
    with Client(server.address, store=logged_in(server, lives=-1)) as client, ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(lambda _: client.profile(), range(16)))) == 16
    assert len(server.of("RefreshToken")) == 1


async def test_many_tasks_renew_once(server: ScriptedServer) -> None:
    async with AsyncClient(server.address, store=logged_in(server, lives=-1)) as client:
        await asyncio.gather(*(client.profile() for _ in range(16)))
    assert len(server.of("RefreshToken")) == 1


async def test_a_cancelled_caller_loses_no_renewed_token(server: ScriptedServer) -> None:
    entered, release = threading.Event(), threading.Event()

    def hold(_: grpc.ServicerContext) -> None:
        entered.set()
        release.wait(10)

    server.fail("RefreshToken", hold)
    store = logged_in(server, lives=-1)
    async with AsyncClient(server.address, store=store) as client:
        call = asyncio.create_task(client.profile())
        await asyncio.to_thread(entered.wait, 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        release.set()
    tokens = store.load()
    assert tokens is not None
    assert tokens.refresh_token == "refresh-renewed-1"


async def test_the_asynchronous_client_mirrors_the_other(server: ScriptedServer) -> None:
    server.sessions = [chat_pb2.Session(session_id=str(number)) for number in range(5)]
    server.messages = [chat_pb2.Message(message_id=str(number)) for number in range(3)]
    server.fail("Chat", BROKEN)
    async with AsyncClient(server.address, retries=QUICK) as client:
        assert (await client.register("a@example.com", "long enough")).email == "a@example.com"
        await client.login("ana@example.com", "correct horse")
        assert (await client.profile()).email == "ana@example.com"
        server.valid_tokens = {"another"}
        assert (await client.profile()).email == "ana@example.com"
        assert (await client.refresh()).access_token == await client.access_token()
        assert (await client.chat("Hi")).generation.text == "Hello, world"
        assert [s.session_id async for s in client.list_sessions(page_size=2)] == list("01234")
        assert [m.message_id async for m in client.list_messages(SESSION_ID, page_size=2)] == list("012")
        assert (await client.list_models()).default_model == "echo"
        assert (await client.get_generation("x")).text == "Hello, world"
        await client.logout()
        assert await client.access_token() == ""
    names = {name for name in dir(Client) if not name.startswith("_")}
    assert {name for name in dir(AsyncClient) if not name.startswith("_")} == names
