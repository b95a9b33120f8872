"""The client's verbs about accounts, login sessions and API keys: what they send, and what is safe to send twice."""

import asyncio
import inspect
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import api_key_pb2, auth_pb2

from antiphon_client import AsyncClient, Client, MemoryTokenStore, Retries, Tokens, _account_calls
from antiphon_client._calls import Method
from antiphon_client.errors import (
    NotFound,
    PermissionDenied,
    Quota,
    RateLimit,
    ResourceExhausted,
    Unauthenticated,
    Unreachable,
)
from tests.scripted_accounts import ScriptedAccounts
from tests.scripted_server import BROKEN, failing

QUICK = Retries(first_delay=0.001, max_delay=0.05)
REVOKED = failing(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED", "log in again")

INVALID = failing(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", "this token is not accepted")


@pytest.fixture
def server() -> Iterator[ScriptedAccounts]:
    with ScriptedAccounts() as scripted:
        yield scripted


@pytest.fixture
def client(server: ScriptedAccounts) -> Iterator[Client]:
    with Client(server.address, retries=QUICK) as made:
        yield made


def sent(server: ScriptedAccounts, method: str) -> Any:
    """The last request of a method."""
    return server.of(method)[-1].request


def test_changes_name_exactly_what_is_given(client: Client, server: ScriptedAccounts) -> None:
    client.update_profile(display_name="")
    assert list(sent(server, "UpdateProfile").update_mask.paths) == ["display_name"]
    ana = server.add_user("ana@example.com")
    changed = client.update_user(ana.user_id, role=auth_pb2.ROLE_ADMIN, disabled=False)
    assert (changed.role, changed.email) == (auth_pb2.ROLE_ADMIN, "ana@example.com")
    assert list(sent(server, "UpdateUser").update_mask.paths) == ["role", "disabled"]


def test_what_creates_or_rotates_is_repeated_under_one_id(client: Client, server: ScriptedAccounts) -> None:
    for method in ("CreateUser", "CreateApiKey", "RotateApiKey"):
        server.fail(method, BROKEN)
    client.create_user("bo@example.com", "long enough", role=auth_pb2.ROLE_ADMIN)
    made = client.create_api_key("ci", ["chat.write"])
    assert client.rotate_api_key(made.api_key.api_key_id).secret == "ak_abc_second"
    for method in ("CreateUser", "CreateApiKey", "RotateApiKey"):
        ids = [seen.request.request_id for seen in server.of(method)]  # type: ignore[attr-defined]
        assert len(ids) == 2
        assert len(set(ids)) == 1
        assert ids[0]
    assert len(server.users) == len(server.keys) == 1


def test_a_key_whose_secret_got_lost_is_named(client: Client, server: ScriptedAccounts) -> None:
    server.loses = {"CreateApiKey", "RotateApiKey"}
    made = client.create_api_key("ci", ["chat.write"])
    assert (made.api_key.display_name, made.secret) == ("ci", "")
    assert len(server.keys) == 1
    assert client.rotate_api_key(made.api_key.api_key_id).secret == ""
    assert client.rotate_api_key(made.api_key.api_key_id).secret


def test_a_change_of_password_is_sent_once(client: Client, server: ScriptedAccounts) -> None:
    server.loses = {"ChangePassword"}
    with pytest.raises(Unreachable):
        client.change_password("old and long", "new and long")
    assert len(server.of("ChangePassword")) == 1


def test_times_and_spans_travel_as_they_are(client: Client, server: ScriptedAccounts) -> None:
    end = datetime(2030, 1, 31, 12, tzinfo=UTC)
    key = client.create_api_key("ci", ("chat.write", "chat.read"), expire_time=end).api_key
    assert key.expire_time.ToDatetime(UTC) == end
    assert not client.create_api_key("for ever", ["chat.read"]).api_key.HasField("expire_time")
    client.rotate_api_key(key.api_key_id, grace=timedelta(0))
    assert sent(server, "RotateApiKey").HasField("grace")
    client.rotate_api_key(key.api_key_id)
    assert not sent(server, "RotateApiKey").HasField("grace")


def test_lists_fetch_their_pages(client: Client, server: ScriptedAccounts) -> None:
    for number in range(5):
        server.add_user(f"{number}@example.com", auth_pb2.ROLE_ADMIN if number % 2 else auth_pb2.ROLE_USER)
        server.add_key(f"{number}", "chat.write")
        server.logins.append(auth_pb2.Session(session_id=f"{number}"))
        server.events.append(auth_pb2.AuditEvent(audit_event_id=f"{number}"))
    assert [user.email[0] for user in client.list_users(page_size=2)] == list("43210")
    assert len(server.of("ListUsers")) == 3
    assert [user.email[0] for user in client.list_users(role=auth_pb2.ROLE_ADMIN)] == list("31")
    assert [key.display_name for key in client.list_api_keys(page_size=4, skip=1)] == list("3210")
    assert [login.session_id for login in client.list_login_sessions(page_size=3)] == list("01234")
    assert [event.audit_event_id for event in client.list_audit_events(page_size=5)] == list("01234")


def test_other_peoples_things_are_named_by_their_id(client: Client, server: ScriptedAccounts) -> None:
    key, ana = server.add_key("ci", "chat.write"), server.add_user("ana@example.com")
    server.logins.append(auth_pb2.Session(session_id="one"))
    client.revoke_api_key(key.api_key_id, user_id=ana.user_id)
    client.revoke_login_session("one", user_id=ana.user_id)
    assert client.get_api_key(key.api_key_id, user_id=ana.user_id).HasField("revoke_time")
    for method in ("RevokeApiKey", "RevokeSession", "GetApiKey"):
        assert sent(server, method).user_id == ana.user_id
    client.delete_user(ana.user_id)
    with pytest.raises(NotFound):
        client.get_user(ana.user_id)


@pytest.mark.parametrize("refusal", [REVOKED, INVALID], ids=["revoked", "of a dropped key"])
def test_a_refused_token_is_renewed_once_where_the_session_lives_on(
    client: Client, server: ScriptedAccounts, refusal: Any
) -> None:
    client.login("ana@example.com", "correct horse")
    server.fail("GetProfile", refusal)
    assert client.profile().email == "ana@example.com"
    assert len(server.of("RefreshToken")) == 1
    server.fail("GetProfile", refusal)
    server.fail("RefreshToken", REVOKED)
    with pytest.raises(Unauthenticated) as caught:
        client.profile()
    assert caught.value.reason == "TOKEN_REVOKED"
    assert len(server.of("RefreshToken")) == 2
    server.fail("GetProfile", refusal, refusal)
    with pytest.raises(Unauthenticated):
        client.profile()
    assert len(server.of("RefreshToken")) == 3


def test_a_token_that_was_given_is_sent_once(server: ScriptedAccounts) -> None:
    server.fail("GetProfile", INVALID)
    with Client(server.address, token="ak_abc_secret") as client, pytest.raises(Unauthenticated) as caught:
        client.profile()
    assert caught.value.reason == "TOKEN_INVALID"
    assert [seen.method for seen in server.calls] == ["GetProfile"]


def test_a_stream_renews_a_revoked_token_too(client: Client, server: ScriptedAccounts) -> None:
    client.login("ana@example.com", "correct horse")
    server.fail("StreamChat", REVOKED)
    assert "".join(event.text_delta.text for event in client.stream("Hi")) == "Hello, world"
    assert len(server.of("RefreshToken")) == 1


def test_a_reached_limit_says_which_and_when(client: Client, server: ScriptedAccounts) -> None:
    limited = failing(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        retry_after=17.25,
        quota=("user:ana", "admin 100/min"),
        trailers=(("ratelimit-limit", "100"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "18")),
        limit="admin",
    )
    server.fail("ListUsers", limited)
    with pytest.raises(ResourceExhausted) as caught:
        list(client.list_users())
    error = caught.value
    assert (error.reason, error.retry_after, error.metadata["limit"]) == ("RATE_LIMITED", 17.25, "admin")
    assert error.quotas == (Quota("user:ana", "admin 100/min"),)
    assert error.rate_limit == RateLimit(100, 0, 18.0)
    assert len(server.of("ListUsers")) == 1


def test_a_short_limit_is_waited_for(client: Client, server: ScriptedAccounts) -> None:
    server.fail("ListUsers", failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.03))
    assert list(client.list_users()) == []
    assert len(server.of("ListUsers")) == 2


@pytest.mark.parametrize("retry_after", [None, 60.0])
def test_a_renewal_that_has_to_wait_is_not_asked_for_by_every_call(
    server: ScriptedAccounts, retry_after: float | None
) -> None:
    limited = failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=retry_after)
    server.fail("RefreshToken", limited, limited)
    tokens = Tokens.of(server.issue("first"))
    store = MemoryTokenStore(replace(tokens, access_token_expire_time=time.time() + 10))
    with Client(server.address, store=store, retries=QUICK) as client:
        for _ in range(5):
            client.profile()
    assert len(server.of("RefreshToken")) == 1
    assert len(server.of("GetProfile")) == 5


def test_a_delayed_login_is_not_tried_again(client: Client, server: ScriptedAccounts) -> None:
    server.fail("Login", failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "LOGIN_DELAYED", retry_after=0.01))
    with pytest.raises(ResourceExhausted):
        client.login("ana@example.com", "correct horse")
    assert len(server.of("Login")) == 1


def test_a_missing_scope_is_named(server: ScriptedAccounts) -> None:
    server.fail(
        "GetProfile", failing(grpc.StatusCode.PERMISSION_DENIED, "SCOPE_REQUIRED", scope="profile.read")
    )
    with Client(server.address, token="ak_abc_secret") as client, pytest.raises(PermissionDenied) as caught:
        client.profile()
    assert caught.value.metadata == {"scope": "profile.read"}
    assert server.calls[-1].token == "ak_abc_secret"


async def test_the_asynchronous_client_mirrors_the_other(server: ScriptedAccounts) -> None:
    server.logins.append(auth_pb2.Session(session_id="one"))
    server.events.append(auth_pb2.AuditEvent(audit_event_id="one"))
    server.fail("CreateApiKey", BROKEN)
    async with AsyncClient(server.address, retries=QUICK) as client:
        ana = await client.create_user("ana@example.com", "long enough")
        assert (await client.get_user(ana.user_id)).email == "ana@example.com"
        assert (await client.update_user(ana.user_id, disabled=True)).disabled
        assert [user.email async for user in client.list_users(page_size=1)] == ["ana@example.com"]
        assert (await client.update_profile(username="ana")).username == "ana"
        await client.change_password("old and long", "new and long")
        assert [login.session_id async for login in client.list_login_sessions()] == ["one"]
        await client.revoke_login_session("one")
        made = await client.create_api_key("ci", ["chat.write"])
        assert made.secret
        assert (await client.rotate_api_key(made.api_key.api_key_id)).secret
        assert (await client.get_api_key(made.api_key.api_key_id)).display_name == "ci"
        await client.revoke_api_key(made.api_key.api_key_id)
        assert [key.HasField("revoke_time") async for key in client.list_api_keys()] == [True]
        assert [event.audit_event_id async for event in client.list_audit_events()] == ["one"]
        await client.delete_user(ana.user_id)
        await client.login("ana@example.com", "correct horse")
        server.fail("GetProfile", REVOKED)
        await asyncio.gather(client.profile(), client.profile())
    assert len(server.of("RefreshToken")) == 1


def test_both_clients_take_the_same_arguments() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            other = inspect.signature(getattr(AsyncClient, name))
            assert list(inspect.signature(method).parameters) == list(other.parameters), name


def test_every_rpc_for_people_has_a_verb() -> None:
    # Refreshing and logging out are the client's own; services alone verify tokens, watch revocations and list signing keys.
    sent_elsewhere = {
        "Login",
        "RefreshToken",
        "Logout",
        "ListSigningKeys",
        "VerifyToken",
        "WatchRevocations",
    }
    paths = {
        method.path.rpartition("/")[2]
        for method in vars(_account_calls).values()
        if isinstance(method, Method)
    }
    services = (
        auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
        api_key_pb2.DESCRIPTOR.services_by_name["ApiKeyService"],
    )
    assert paths == {method.name for service in services for method in service.methods} - sent_elsewhere
