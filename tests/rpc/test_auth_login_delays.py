"""Guessing passwords, over the wire: after a few failures it takes longer and longer, on every replica."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
import uuid
from collections.abc import AsyncIterator

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2

from tests.fakes.served_suite import Failed, Serve, Served, bearer, failure, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

PASSWORD = "a battery that is a staple"
WRONG = ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
DELAYED = ("RESOURCE_EXHAUSTED", "LOGIN_DELAYED")


@pytest.fixture(scope="module")
def suite_environ() -> dict[str, str]:
    """Every call of these tests names the address that it comes from, as a proxy does."""
    return {
        "ANTIPHON_LIMITS__REGISTER": "0",
        "ANTIPHON_LIMITS__LOGIN": "0",
        "ANTIPHON_SERVER__TRUSTED_PROXIES": "127.0.0.1",
    }


def email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def address() -> str:
    """One that nobody has failed from, as it is written in the trail: without leading zeros."""
    return str(ipaddress.ip_address(f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"))


async def account(served: Served) -> str:
    made = email()
    await served.auth.Register(
        auth_pb2.RegisterRequest(email=made, password=PASSWORD),
        metadata=(("x-forwarded-for", address()),),
    )
    return made


async def log_in(served: Served, name: str, password: str, origin: str = "") -> auth_pb2.LoginResponse:
    return await served.auth.Login(
        auth_pb2.LoginRequest(email=name, password=password),
        metadata=(("x-forwarded-for", origin or address()),),
    )


async def refused(served: Served, name: str, password: str = "wrong battery", origin: str = "") -> Failed:
    return await failure(log_in(served, name, password, origin))


async def refused_five_times(served: Served, name: str, origin: str = "") -> None:
    for _ in range(5):
        assert (await refused(served, name, origin=origin)).what == WRONG


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
async def test_an_account_is_delayed_after_five_failures_from_wherever(suite: Served, known: bool) -> None:
    name = await account(suite) if known else email()
    await refused_five_times(suite, name)
    for password in ("wrong battery", PASSWORD):
        delayed = await refused(suite, name.upper(), password)
        assert delayed.what == DELAYED
        assert (delayed.metadata, delayed.fields) == ({}, ())
        assert delayed.retry is not None
        assert 0 < delayed.retry <= 1
    # Nobody else is.
    assert (await refused(suite, email())).what == WRONG


async def test_the_delay_ends_when_it_said_and_is_doubled_by_the_next_failure(suite: Served) -> None:
    name = await account(suite)
    await refused_five_times(suite, name)
    first = await refused(suite, name)
    answered = time.monotonic()
    assert first.retry is not None

    async def looked_at() -> Failed | None:
        found = await refused(suite, name)
        return found if found.what == WRONG else None

    await until(looked_at)
    assert time.monotonic() - answered >= first.retry - 0.1
    again = await refused(suite, name)
    assert again.what == DELAYED
    assert again.retry is not None
    assert 1 < again.retry <= 2


async def test_who_waits_logs_in_and_starts_afresh(suite: Served) -> None:
    name = await account(suite)
    await refused_five_times(suite, name)

    async def let_in() -> auth_pb2.LoginResponse | None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await log_in(suite, name, PASSWORD)
        return None

    assert (await until(let_in)).user.email == name
    for _ in range(4):
        assert (await refused(suite, name)).what == WRONG
    assert (await log_in(suite, name, PASSWORD)).access_token


async def test_an_address_is_delayed_whomever_it_tries(suite: Served) -> None:
    name, guesser = await account(suite), address()
    for _ in range(5):
        assert (await refused(suite, email(), origin=guesser)).what == WRONG
    neighbour = f"{guesser[:-1]}2"
    assert (await refused(suite, name, PASSWORD, neighbour)).what == DELAYED
    assert (await log_in(suite, name, PASSWORD)).access_token


async def test_thirty_guesses_at_once_are_worth_no_more_than_five(suite: Served) -> None:
    name = await account(suite)
    failures = [one.what for one in await asyncio.gather(*(refused(suite, name) for _ in range(30)))]
    assert set(failures) == {WRONG, DELAYED}
    # One more a second is looked at once the delay is over.
    assert failures.count(WRONG) <= 8


async def test_guessing_the_current_password_is_delayed_like_a_login(suite: Served) -> None:
    name = await account(suite)
    login = await log_in(suite, name, PASSWORD)
    wrong = auth_pb2.ChangePasswordRequest(current_password="wrong battery", new_password="another staple")
    for expected in [WRONG] * 5 + [DELAYED]:
        call = suite.auth.ChangePassword(
            wrong, metadata=(*bearer(login.access_token), ("x-forwarded-for", address()))
        )
        assert (await failure(call)).what == expected
    assert (await refused(suite, name, PASSWORD)).what == DELAYED


async def test_failures_stand_in_the_trail_without_the_email(suite: Served) -> None:
    name, unknown, origin = await account(suite), email(), address()
    for tried in (name, unknown):
        assert (await refused(suite, tried, origin=origin)).what == WRONG
    rows = await suite.rows(
        "select events.action, users.email, events.actor_id, events.attributes from auth.audit_events as events"
        " left join auth.users as users on users.id = events.user_id where address = %s order by events.id",
        origin,
    )
    assert rows == [("user.login_failed", name, None, {}), ("user.login_failed", None, None, {})]
    stored = await suite.rows("select audit_events::text from auth.audit_events")
    assert not any(unknown in line or name in line for (line,) in stored)


@contextlib.asynccontextmanager
async def two(serve: Serve) -> AsyncIterator[tuple[Served, Served]]:
    settings = {"ANTIPHON_SERVER__TRUSTED_PROXIES": "127.0.0.1", "ANTIPHON_LIMITS__LOGIN": "0"}
    async with serve(**settings) as one, serve(**settings) as other:
        yield one, other


async def test_two_replicas_delay_as_one(serve: Serve) -> None:
    async with two(serve) as replicas:
        name = await account(replicas[0])
        for number in range(5):
            assert (await refused(replicas[number % 2], name)).what == WRONG
        for served in replicas:
            assert (await refused(served, name, PASSWORD)).what == DELAYED


async def test_delays_can_be_switched_off(serve: Serve) -> None:
    async with serve(ANTIPHON_AUTH__LOGIN_FAILURES="0", ANTIPHON_LIMITS__LOGIN="0") as served:
        name = await account(served)
        for _ in range(7):
            assert (await refused(served, name)).what == WRONG
        assert (await log_in(served, name, PASSWORD)).access_token
        assert await served.rows("select 1 from auth.login_failures") == []
