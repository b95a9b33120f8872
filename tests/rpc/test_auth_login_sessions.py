"""People and their logins, over the wire: what they see of them, and how fast the end of one is known."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest
from antiphon.auth.v1 import auth_pb2

from tests.fakes.served_suite import Metadata, Person, Serve, Served, bearer, failure, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "a battery that is a staple"
# What every process promises; the rest is for a machine that is busy.
BOUND = 2.0


@pytest.fixture(scope="module")
def suite_environ() -> dict[str, str]:
    return {
        "ANTIPHON_LIMITS__REGISTER": "0",
        "ANTIPHON_LIMITS__LOGIN": "0",
        "ANTIPHON_LIMITS__REFRESH": "0",
        "ANTIPHON_AUTH__LOGIN_FAILURES": "0",
    }


@dataclass
class Account:
    """Somebody who has an account, and logs in from several devices."""

    served: Served
    email: str
    user_id: str
    password: str = PASSWORD

    async def log_in(self, device: str = "laptop") -> auth_pb2.LoginResponse:
        request = auth_pb2.LoginRequest(email=self.email, password=self.password, device_name=device)
        return await self.served.auth.Login(request)

    async def sessions(self, credential: Metadata, **more: object) -> auth_pb2.ListSessionsResponse:
        request = auth_pb2.ListSessionsRequest(**more)  # type: ignore[arg-type]
        return await self.served.auth.ListSessions(request, metadata=credential)


async def somebody_new(served: Served) -> Account:
    email = f"{uuid.uuid4().hex}@example.com"
    made = await served.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
    return Account(served, email, made.user.user_id)


def credential(login: auth_pb2.LoginResponse | auth_pb2.RefreshTokenResponse) -> Metadata:
    return bearer(login.access_token)


def session_of(sessions: auth_pb2.ListSessionsResponse, device: str) -> auth_pb2.Session:
    (found,) = [one for one in sessions.sessions if one.device_name == device]
    return found


async def refusal(served: Served, metadata: Metadata) -> tuple[str, str] | None:
    """How a call with the credential fails; None while it is believed."""
    call = served.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)
    if (await call.code()).name == "OK":
        return None
    return (await failure(call)).what


async def refused_in_time(served: Served, metadata: Metadata) -> tuple[str, str]:
    found: tuple[str, str] = await until(lambda: refusal(served, metadata), BOUND)
    return found


async def refreshed(served: Served, token: str) -> auth_pb2.RefreshTokenResponse:
    return await served.auth.RefreshToken(auth_pb2.RefreshTokenRequest(refresh_token=token))


REVOKED = ("UNAUTHENTICATED", "TOKEN_REVOKED")


async def test_a_person_sees_where_they_are_logged_in(suite: Served) -> None:
    ana = await somebody_new(suite)
    laptop, phone = await ana.log_in("laptop"), await ana.log_in("phone")
    await refreshed(suite, laptop.refresh_token)
    listed = await ana.sessions(credential(phone))
    assert [(one.device_name, one.current) for one in listed.sessions] == [("phone", True), ("laptop", False)]
    used = session_of(listed, "laptop")
    assert used.create_time.ToNanoseconds() < used.last_use_time.ToNanoseconds()
    assert used.expire_time.seconds == pytest.approx(laptop.refresh_token_expire_time.seconds, abs=30)
    first = await ana.sessions(credential(phone), page_size=1)
    second = await ana.sessions(credential(phone), page_size=1, page_token=first.next_page_token)
    assert [*first.sessions, *second.sessions] == list(listed.sessions)
    assert (bool(first.next_page_token), second.next_page_token) == (True, "")


async def test_the_page_token_of_another_person_is_refused(suite: Served) -> None:
    ana, ben = await somebody_new(suite), await somebody_new(suite)
    for _ in range(2):
        login = await ana.log_in()
    page = await ana.sessions(credential(login), page_size=1)
    request = auth_pb2.ListSessionsRequest(page_token=page.next_page_token)
    refused = await failure(suite.auth.ListSessions(request, metadata=credential(await ben.log_in())))
    assert refused.what == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_a_login_that_is_revoked_elsewhere_ends_within_two_seconds(suite: Served) -> None:
    ana = await somebody_new(suite)
    laptop, phone = await ana.log_in("laptop"), await ana.log_in("phone")
    assert await refusal(suite, credential(phone)) is None
    session_id = session_of(await ana.sessions(credential(laptop)), "phone").session_id
    for spelling in (session_id, session_id.upper()):
        request = auth_pb2.RevokeSessionRequest(session_id=spelling)
        await suite.auth.RevokeSession(request, metadata=credential(laptop))
    assert await refused_in_time(suite, credential(phone)) == REVOKED
    refresh = auth_pb2.RefreshTokenRequest(refresh_token=phone.refresh_token)
    assert (await failure(suite.auth.RefreshToken(refresh))).what == REVOKED
    assert await refusal(suite, credential(laptop)) is None
    assert len((await ana.sessions(credential(laptop))).sessions) == 1


async def test_people_may_end_the_login_that_they_call_with(suite: Served) -> None:
    ana = await somebody_new(suite)
    login = credential(await ana.log_in())
    (session,) = (await ana.sessions(login)).sessions
    request = auth_pb2.RevokeSessionRequest(session_id=session.session_id)
    await suite.auth.RevokeSession(request, metadata=login)
    assert await refused_in_time(suite, login) == REVOKED


async def test_a_logout_ends_the_access_token_too(suite: Served) -> None:
    ana = await somebody_new(suite)
    login, other = await ana.log_in(), await ana.log_in()
    following = await refreshed(suite, login.refresh_token)
    for one in (login, following):
        assert await refusal(suite, credential(one)) is None
    await suite.auth.Logout(auth_pb2.LogoutRequest(refresh_token=following.refresh_token))
    for one in (login, following):
        assert await refused_in_time(suite, credential(one)) == REVOKED
    assert await refusal(suite, credential(other)) is None


async def test_logins_of_others_are_for_administrators(suite: Served) -> None:
    ana, ben = await somebody_new(suite), await somebody_new(suite)
    login, stranger = await ana.log_in(), credential(await ben.log_in())
    session_id = (await ana.sessions(credential(login))).sessions[0].session_id
    unknown = auth_pb2.RevokeSessionRequest(session_id=session_id)
    theirs = auth_pb2.RevokeSessionRequest(session_id=session_id, user_id=ana.user_id)
    listing = auth_pb2.ListSessionsRequest(user_id=ana.user_id)
    not_found = await failure(suite.auth.RevokeSession(unknown, metadata=stranger))
    assert not_found.what == ("NOT_FOUND", "NOT_FOUND")
    assert not_found.resource == ("auth.session", session_id)
    for call in (
        suite.auth.RevokeSession(theirs, metadata=stranger),
        suite.auth.ListSessions(listing, metadata=stranger),
    ):
        refused = await failure(call)
        assert (refused.what, refused.metadata) == (
            ("PERMISSION_DENIED", "ROLE_REQUIRED"),
            {"role": "admin"},
        )
    assert await refusal(suite, credential(login)) is None

    admin = await suite.administrator()
    (seen,) = (await ana.sessions(admin, user_id=ana.user_id)).sessions
    assert (seen.session_id, seen.current) == (session_id, False)
    await suite.auth.RevokeSession(theirs, metadata=admin)
    assert await refused_in_time(suite, credential(login)) == REVOKED


async def test_who_is_known_elsewhere_has_no_logins_here(suite: Served, ana: Person) -> None:
    listed = await suite.auth.ListSessions(auth_pb2.ListSessionsRequest(), metadata=ana.metadata)
    assert list(listed.sessions) == []
    change = auth_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password="another battery")
    refused = await failure(suite.auth.ChangePassword(change, metadata=ana.metadata))
    assert refused.what == ("NOT_FOUND", "NOT_FOUND")


async def test_a_new_password_ends_the_other_logins(suite: Served) -> None:
    ana = await somebody_new(suite)
    kept, lost = await ana.log_in("kept"), await ana.log_in("lost")
    change = auth_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password="another staple")
    await suite.auth.ChangePassword(change, metadata=credential(kept))
    assert await refused_in_time(suite, credential(lost)) == REVOKED
    following = await refreshed(suite, kept.refresh_token)
    for one in (kept, following):
        assert await refusal(suite, credential(one)) is None
    old = auth_pb2.LoginRequest(email=ana.email, password=PASSWORD)
    assert (await failure(suite.auth.Login(old))).what == ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
    ana.password = "another staple"
    assert await refusal(suite, credential(await ana.log_in())) is None


async def test_a_password_that_is_wrong_or_not_allowed_changes_nothing(suite: Served) -> None:
    ana = await somebody_new(suite)
    login, other = await ana.log_in(), await ana.log_in()
    wrong = auth_pb2.ChangePasswordRequest(current_password="not this one", new_password="another staple")
    common = auth_pb2.ChangePasswordRequest(current_password=PASSWORD, new_password="Password1")
    refused = await failure(suite.auth.ChangePassword(wrong, metadata=credential(login)))
    assert refused.what == ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
    refused = await failure(suite.auth.ChangePassword(common, metadata=credential(login)))
    assert (refused.code.name, refused.fields) == ("INVALID_ARGUMENT", ("new_password",))
    lines = await suite.rows(
        "select action, actor_id::text, user_id::text from auth.audit_events"
        " where action = 'user.change_password_failed'"
    )
    assert lines.count(("user.change_password_failed", ana.user_id, ana.user_id)) == 1
    await ana.log_in()
    assert await refusal(suite, credential(other)) is None


async def test_a_stolen_token_that_is_used_again_ends_the_access_tokens(serve: Serve) -> None:
    async with serve(ANTIPHON_AUTH__REFRESH_GRACE="0") as served:
        ana = await somebody_new(served)
        login = await ana.log_in()
        following = await refreshed(served, login.refresh_token)
        assert await refusal(served, credential(following)) is None
        refresh = auth_pb2.RefreshTokenRequest(refresh_token=login.refresh_token)
        refused = await failure(served.auth.RefreshToken(refresh))
        assert refused.what == ("UNAUTHENTICATED", "REFRESH_TOKEN_REUSED")
        for one in (login, following):
            assert await refused_in_time(served, credential(one)) == REVOKED
        lines = await served.rows(
            "select action, user_id::text, actor_id, address from auth.audit_events where action = 'session.reuse'"
        )
        assert lines == [("session.reuse", ana.user_id, None, "127.0.0.1")]
