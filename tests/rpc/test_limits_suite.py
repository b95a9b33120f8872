"""Each class of limits on the whole suite: whose calls it counts, and what a caller past it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from antiphon.chat.v1 import chat_pb2

from tests.fakes.served_suite import Failed, Metadata, Person, Serve, Served, bearer, failed, finished

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

PASSWORD = "correct horse battery staple"
Ask = Callable[[], Any]


@pytest.fixture(scope="module")
def suite_environ() -> dict[str, str]:
    numbers = {
        "LOGIN": 3,
        "REFRESH": 3,
        "DEFAULT": 4,
        "ADMIN": 2,
        "CHAT": 3,
        "CHAT_ANONYMOUS": 2,
    }
    return {f"ANTIPHON_LIMITS__{name}": str(number) for name, number in numbers.items()} | {
        "ANTIPHON_AUTH__LOGIN_FAILURES": "0"
    }


async def refusal(ask: Ask, limit: str, number: int) -> Failed:
    """The refusal that follows when as many calls as the limit were let in, whatever else became of them."""
    codes = [await code(ask()) for _ in range(number)]
    assert "RESOURCE_EXHAUSTED" not in codes
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await finished(ask())
    found = failed(caught.value)
    assert found.what == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert found.metadata == {"limit": limit}
    assert found.retry is not None
    assert 0 < found.retry <= 60
    return found


async def code(call: Any) -> str:
    """How a call ends."""
    try:
        await finished(call)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def login(suite: Served, email: str, password: str = PASSWORD) -> Any:
    return suite.auth.Login(auth_pb2.LoginRequest(email=email, password=password))


def profile(suite: Served, metadata: Metadata) -> Any:
    return suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)


def chat(suite: Served, metadata: Metadata = ()) -> Any:
    return suite.chat.StreamChat(chat_pb2.StreamChatRequest(message="Hello", model="echo"), metadata=metadata)


async def test_registrations_are_counted_by_address(serve: Serve) -> None:
    numbers = itertools.count()

    def register(suite: Served) -> Any:
        email = f"person{next(numbers)}@example.org"
        return suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))

    # The other tests register too, so this one has a suite of its own.
    async with serve(ANTIPHON_LIMITS__REGISTER="3") as suite:
        await refusal(lambda: register(suite), "register", 3)
        assert len(await suite.rows("select from auth.users where email like 'person%%'")) == 3


async def test_logins_are_counted_by_account(suite: Served) -> None:
    await refusal(lambda: login(suite, "Guessed@example.com", "wrong horse battery"), "login", 3)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await login(suite, "ｇuessed@EXAMPLE.com")
    assert failed(caught.value).metadata == {"limit": "login"}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await login(suite, "another@example.com")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_refreshes_and_logouts_are_counted_together(suite: Served) -> None:
    request = auth_pb2.LogoutRequest(refresh_token="rt_unknown")
    await refusal(lambda: suite.auth.Logout(request), "refresh", 3)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await suite.auth.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token="rt_unknown"))
    assert failed(caught.value).metadata == {"limit": "refresh"}


async def test_an_administrators_calls_have_a_limit_of_their_own(suite: Served) -> None:
    administrator = await suite.administrator()
    await refusal(
        lambda: suite.auth.ListUsers(auth_pb2.ListUsersRequest(), metadata=administrator), "admin", 2
    )
    await profile(suite, administrator)


async def test_an_api_key_counts_for_itself_and_its_person_for_all_logins(suite: Served) -> None:
    email = "ana@example.org"
    await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
    logins = [bearer((await login(suite, email)).access_token) for _ in range(2)]
    request = api_key_pb2.CreateApiKeyRequest(display_name="tests", scopes=["profile.read"])
    key = bearer((await suite.api_keys.CreateApiKey(request, metadata=logins[0])).secret)
    for metadata in (logins[0], logins[1], logins[1]):
        await profile(suite, metadata)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await profile(suite, logins[0])
    assert failed(caught.value).metadata == {"limit": "default"}
    await refusal(lambda: profile(suite, key), "default", 4)


async def test_answers_are_counted_by_person_and_without_a_credential_by_address(
    suite: Served, ana: Person, ben: Person
) -> None:
    await refusal(lambda: chat(suite, ana.metadata), "chat", 3)
    await finished(chat(suite, ben.metadata))
    await refusal(lambda: chat(suite), "chat", 2)
    call = chat(suite, ben.metadata)
    await finished(call)
    left = {key: value for key, value in await call.trailing_metadata() if key.startswith("ratelimit-")}
    assert (left["ratelimit-limit"], left["ratelimit-remaining"]) == ("3", "1")


async def test_rpcs_without_a_credential_are_counted_by_address(suite: Served) -> None:
    await refusal(lambda: suite.auth.GetJwks(auth_pb2.GetJwksRequest()), "default", 4)
    # Chat counts for itself.
    await suite.chat.ListModels(chat_pb2.ListModelsRequest())


async def test_accounts_are_not_stored_in_clear(suite: Served) -> None:
    assert await code(login(suite, "secretive@example.com", "wrong horse battery")) == "UNAUTHENTICATED"
    callers = [
        caller for (caller,) in await suite.rows("select caller from auth.limits where class = 'login'")
    ]
    assert callers
    assert not [caller for caller in callers if "@" in caller or "example" in caller]
