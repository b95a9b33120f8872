"""Accounts as administrators and their owners meet them, over the suite."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from tests.fakes.served_suite import ADMIN_EMAIL, Metadata, Person, Served, bearer, failed, failure, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Member:
    """Somebody with an account, and a login session."""

    user: auth_pb2.User
    login: auth_pb2.LoginResponse

    @property
    def metadata(self) -> Metadata:
        return bearer(self.login.access_token)


async def log_in(suite: Served, email: str, password: str = PASSWORD) -> auth_pb2.LoginResponse:
    return await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=password))


async def member(suite: Served, **more: str) -> Member:
    """Somebody new."""
    email = f"{uuid.uuid4().hex}@example.com"
    made = await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD, **more))
    return Member(made.user, await log_in(suite, email))


async def changed(suite: Served, metadata: Metadata, paths: Sequence[str], **values: Any) -> auth_pb2.User:
    request = auth_pb2.UpdateUserRequest(user=auth_pb2.User(**values), update_mask=FieldMask(paths=paths))
    return (await suite.auth.UpdateUser(request, metadata=metadata)).user


async def refused(suite: Served, metadata: Metadata, seconds: float = 2.0) -> str:
    """The reason for which a credential is refused, within the time that every process has to learn of it."""
    end = time.monotonic() + seconds

    async def reason() -> str:
        try:
            await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            # Before the process has learnt of it, the call itself may find the account disabled or gone.
            return failed(error).reason if error.code() is grpc.StatusCode.UNAUTHENTICATED else ""
        return ""

    found: str = await until(reason)
    assert time.monotonic() < end
    return found


async def actions(suite: Served, admin: Metadata, user_id: str) -> list[auth_pb2.AuditEvent]:
    """An account's lines of the trail, oldest first."""
    request = auth_pb2.ListAuditEventsRequest(user_id=user_id, page_size=100)
    return list(reversed((await suite.auth.ListAuditEvents(request, metadata=admin)).audit_events))


async def test_an_account_from_its_making_to_its_end(suite: Served) -> None:
    admin = await suite.administrator()
    email = f"Zoe-{uuid.uuid4().hex}@Example.com"
    create = auth_pb2.CreateUserRequest(
        request_id=str(uuid.uuid4()), email=email, password=PASSWORD, role=auth_pb2.ROLE_SERVICE
    )
    made = (await suite.auth.CreateUser(create, metadata=admin)).user
    assert (made.email, made.role, made.disabled) == (email, auth_pb2.ROLE_SERVICE, False)
    assert (await suite.auth.CreateUser(create, metadata=admin)).user == made
    get = auth_pb2.GetUserRequest(user_id=made.user_id)
    assert (await suite.auth.GetUser(get, metadata=admin)).user == made
    found = await suite.auth.ListUsers(auth_pb2.ListUsersRequest(query=email.upper()), metadata=admin)
    assert (list(found.users), found.total_size, found.next_page_token) == ([made], 1, "")
    assert (await log_in(suite, email.lower())).user == made

    renamed = await changed(
        suite, admin, ["display_name"], user_id=made.user_id, display_name="Zoë", disabled=True
    )
    assert (renamed.display_name, renamed.disabled, renamed.role) == ("Zoë", False, auth_pb2.ROLE_SERVICE)
    await suite.auth.DeleteUser(auth_pb2.DeleteUserRequest(user_id=made.user_id), metadata=admin)
    gone = await failure(suite.auth.GetUser(get, metadata=admin))
    assert (gone.what, gone.resource) == (("NOT_FOUND", "NOT_FOUND"), ("auth.user", made.user_id))
    told = [
        (line.action, line.user_id, line.address != "") for line in await actions(suite, admin, made.user_id)
    ]
    assert told == [
        (action, made.user_id, True) for action in ("user.create", "user.login", "user.update", "user.delete")
    ]


async def test_what_is_for_administrators_is_refused_to_others(suite: Served, ana: Person) -> None:
    somebody = await member(suite)
    user_id = somebody.user.user_id
    requests: list[tuple[Any, Any]] = [
        (suite.auth.ListUsers, auth_pb2.ListUsersRequest()),
        (suite.auth.GetUser, auth_pb2.GetUserRequest(user_id=user_id)),
        (
            suite.auth.CreateUser,
            auth_pb2.CreateUserRequest(email="a@b.example", password=PASSWORD, role=auth_pb2.ROLE_ADMIN),
        ),
        (
            suite.auth.UpdateUser,
            auth_pb2.UpdateUserRequest(
                user=auth_pb2.User(user_id=user_id, role=auth_pb2.ROLE_ADMIN),
                update_mask=FieldMask(paths=["role"]),
            ),
        ),
        (suite.auth.DeleteUser, auth_pb2.DeleteUserRequest(user_id=user_id)),
        (suite.auth.ListAuditEvents, auth_pb2.ListAuditEventsRequest(user_id=user_id)),
    ]
    for call, request in requests:
        for metadata in (somebody.metadata, ana.metadata):
            refusal = await failure(call(request, metadata=metadata))
            assert refusal.what == ("PERMISSION_DENIED", "ROLE_REQUIRED")
        assert (await failure(call(request))).code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("paths", "values", "field"),
    [
        ([], {}, "update_mask"),
        (["email"], {"email": "other@example.com"}, "update_mask"),
        (["role", "user_id"], {"role": auth_pb2.ROLE_USER}, "update_mask"),
        (["role"], {}, "user.role"),
        (["username"], {"username": "no spaces here"}, "user.username"),
        (["display_name"], {"display_name": "x" * 129}, "user.display_name"),
        (["role"], {"user_id": "17", "role": auth_pb2.ROLE_USER}, "user.user_id"),
    ],
)
async def test_a_change_that_cannot_be_is_refused_by_its_field(
    suite: Served, paths: list[str], values: dict[str, Any], field: str
) -> None:
    somebody = await member(suite)
    values = {"user_id": somebody.user.user_id, **values}
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await changed(suite, await suite.administrator(), paths, **values)
    refusal = failed(raised.value)
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (field,))


async def test_a_common_password_is_refused_wherever_one_is_set(suite: Served) -> None:
    somebody = await member(suite)
    email = f"{uuid.uuid4().hex}@example.com"
    calls = [
        (suite.auth.Register(auth_pb2.RegisterRequest(email=email, password="PassWord1")), "password"),
        (
            suite.auth.CreateUser(
                auth_pb2.CreateUserRequest(email=email, password="PassWord1", role=auth_pb2.ROLE_USER),
                metadata=await suite.administrator(),
            ),
            "password",
        ),
        (
            suite.auth.ChangePassword(
                auth_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password="PassWord1"),
                metadata=somebody.metadata,
            ),
            "new_password",
        ),
    ]
    for call, field in calls:
        refusal = await failure(call)
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (field,))
        assert "PassWord1" not in refusal.text


async def test_the_list_is_read_by_pages_whose_tokens_are_its_own(suite: Served) -> None:
    admin, mark = await suite.administrator(), uuid.uuid4().hex
    for _ in range(3):
        await member(suite, display_name=f"Somebody {mark}")

    async def page(token: str, query: str = mark) -> auth_pb2.ListUsersResponse:
        request = auth_pb2.ListUsersRequest(
            page_size=2, page_token=token, query=query, role=auth_pb2.ROLE_USER
        )
        return await suite.auth.ListUsers(request, metadata=admin)

    first = await page("")
    second = await page(first.next_page_token)
    assert (first.total_size, len(first.users), len(second.users), second.next_page_token) == (3, 2, 1, "")
    ids = [user.user_id for user in (*first.users, *second.users)]
    assert ids == sorted(ids, reverse=True)
    foreign = await failure(page(first.next_page_token, query=mark[:-1]))
    assert foreign.what == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
    trail = auth_pb2.ListAuditEventsRequest(page_size=2, page_token=first.next_page_token)
    assert (await failure(suite.auth.ListAuditEvents(trail, metadata=admin))).reason == "INVALID_PAGE_TOKEN"


async def test_people_change_their_names_and_nothing_else(suite: Served) -> None:
    taken = f"u{uuid.uuid4().hex[:12]}"
    await member(suite, username=taken)
    somebody = await member(suite)

    async def update(paths: list[str], **values: Any) -> auth_pb2.User:
        request = auth_pb2.UpdateProfileRequest(
            user=auth_pb2.User(**values), update_mask=FieldMask(paths=paths)
        )
        return (await suite.auth.UpdateProfile(request, metadata=somebody.metadata)).user

    renamed = await update(["username", "display_name"], username=f"{taken}.2", display_name="Ana")
    assert (renamed.username, renamed.display_name) == (f"{taken}.2", "Ana")
    profile = await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=somebody.metadata)
    assert profile.user == renamed
    assert (await failure(update(["username"], username=taken.upper()))).what == (
        "ALREADY_EXISTS",
        "USERNAME_TAKEN",
    )
    for path in ("role", "email", "disabled"):
        refusal = await failure(update([path], role=auth_pb2.ROLE_ADMIN, disabled=True))
        assert refusal.fields == ("update_mask",)
    everything = await update(["*"], username="", display_name="", role=auth_pb2.ROLE_ADMIN)
    assert (everything.username, everything.display_name, everything.role) == ("", "", auth_pb2.ROLE_USER)


async def test_a_disabled_person_is_out_until_enabled_again(suite: Served) -> None:
    admin, somebody = await suite.administrator(), await member(suite)
    user_id, email = somebody.user.user_id, somebody.user.email
    await changed(suite, admin, ["disabled"], user_id=user_id, disabled=True)
    assert await refused(suite, somebody.metadata) == "TOKEN_REVOKED"
    assert (await failure(log_in(suite, email))).what == ("PERMISSION_DENIED", "ACCOUNT_DISABLED")
    refresh = auth_pb2.RefreshTokenRequest(refresh_token=somebody.login.refresh_token)
    assert (await failure(suite.auth.RefreshToken(refresh))).what == ("PERMISSION_DENIED", "ACCOUNT_DISABLED")
    await changed(suite, admin, ["disabled"], user_id=user_id, disabled=False)
    again = await log_in(suite, email)
    profile = await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer(again.access_token))
    assert not profile.user.disabled
    assert await refused(suite, somebody.metadata)
    assert (await failure(suite.auth.RefreshToken(refresh))).what == ("UNAUTHENTICATED", "TOKEN_REVOKED")


async def test_another_role_takes_the_old_tokens_away_and_the_next_ones_have_it(suite: Served) -> None:
    admin, somebody = await suite.administrator(), await member(suite)
    await changed(suite, admin, ["role"], user_id=somebody.user.user_id, role=auth_pb2.ROLE_ADMIN)
    assert await refused(suite, somebody.metadata)
    pair = await suite.auth.RefreshToken(
        auth_pb2.RefreshTokenRequest(refresh_token=somebody.login.refresh_token)
    )
    risen = bearer(pair.access_token)
    assert (await suite.auth.ListUsers(auth_pb2.ListUsersRequest(page_size=1), metadata=risen)).users
    await changed(suite, admin, ["role"], user_id=somebody.user.user_id, role=auth_pb2.ROLE_USER)
    assert await refused(suite, risen)


async def test_a_deleted_person_is_out_and_the_email_free(suite: Served) -> None:
    admin, somebody = await suite.administrator(), await member(suite)
    delete = auth_pb2.DeleteUserRequest(user_id=somebody.user.user_id)
    await suite.auth.DeleteUser(delete, metadata=admin)
    assert await refused(suite, somebody.metadata)
    assert (await failure(log_in(suite, somebody.user.email))).reason == "INVALID_CREDENTIALS"
    assert (await failure(suite.auth.DeleteUser(delete, metadata=admin))).code is grpc.StatusCode.NOT_FOUND
    register = auth_pb2.RegisterRequest(email=somebody.user.email, password=PASSWORD)
    assert (await suite.auth.Register(register)).user.user_id != somebody.user.user_id


async def test_the_last_administrator_stays_one(suite: Served) -> None:
    admin = await suite.administrator()
    listed = await suite.auth.ListUsers(auth_pb2.ListUsersRequest(role=auth_pb2.ROLE_ADMIN), metadata=admin)
    (first,) = [user for user in listed.users if user.email == ADMIN_EMAIL]
    for user in listed.users:
        if user != first:
            await changed(suite, admin, ["role"], user_id=user.user_id, role=auth_pb2.ROLE_USER)
    attempts = [
        changed(suite, admin, ["role"], user_id=first.user_id, role=auth_pb2.ROLE_USER),
        changed(suite, admin, ["disabled"], user_id=first.user_id, disabled=True),
        suite.auth.DeleteUser(auth_pb2.DeleteUserRequest(user_id=first.user_id), metadata=admin),
    ]
    for attempt in attempts:
        assert (await failure(attempt)).what == ("FAILED_PRECONDITION", "LAST_ADMINISTRATOR")
    get = auth_pb2.GetUserRequest(user_id=first.user_id)
    assert (await suite.auth.GetUser(get, metadata=admin)).user == first


async def test_the_trail_tells_who_did_what_and_holds_no_secret(suite: Served) -> None:
    admin, somebody = await suite.administrator(), await member(suite)
    user_id, email = somebody.user.user_id, somebody.user.email
    assert (await failure(log_in(suite, email, "a wrong password"))).reason == "INVALID_CREDENTIALS"
    await changed(
        suite, admin, ["display_name", "disabled"], user_id=user_id, display_name="Secretive", disabled=True
    )
    lines = await actions(suite, admin, user_id)
    assert [line.action for line in lines] == [
        "user.register",
        "user.login",
        "user.login_failed",
        "user.update",
    ]
    register, login, wrong, update = lines
    assert (register.actor_id, login.actor_id, wrong.actor_id) == (user_id, user_id, "")
    listed = await suite.auth.ListUsers(auth_pb2.ListUsersRequest(query=ADMIN_EMAIL), metadata=admin)
    assert update.actor_id == listed.users[0].user_id
    assert dict(update.attributes) == {"fields": "display_name", "disabled": "true"}
    assert len({line.audit_event_id for line in lines}) == 4
    assert all(line.HasField("create_time") and line.address for line in lines)
    everything = str(await suite.rows("select * from auth.audit_events"))
    for secret in (PASSWORD, "a wrong password", somebody.login.refresh_token, email, "Secretive"):
        assert secret not in everything


async def test_the_first_administrator_is_in_the_trail_as_made_by_the_server(suite: Served) -> None:
    admin = await suite.administrator()
    listed = await suite.auth.ListUsers(auth_pb2.ListUsersRequest(query=ADMIN_EMAIL), metadata=admin)
    made = (await actions(suite, admin, listed.users[0].user_id))[0]
    assert (made.action, made.actor_id, made.address) == ("user.create", "", "command line")
    assert dict(made.attributes) == {"role": "admin"}


async def test_of_equal_registrations_at_once_one_makes_the_account(suite: Served) -> None:
    email = f"ana-{uuid.uuid4().hex}@example.com"
    spellings = (email, email.upper(), email.title())
    calls = [
        suite.auth.Register(auth_pb2.RegisterRequest(email=spelling, password=PASSWORD))
        for spelling in spellings
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    reasons = sorted(failed(result).reason for result in results if isinstance(result, grpc.aio.AioRpcError))
    assert reasons == ["EMAIL_TAKEN", "EMAIL_TAKEN"]
