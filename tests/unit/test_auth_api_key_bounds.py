"""What an API key can't do: outlive itself, look after keys with an old secret, act on other people without the scope for it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from services.auth.model.accounts import Role
from services.kernel.errors import PermissionDenied
from services.kernel.principal import Principal
from tests.fakes.auth_key_desk import HOUR, Desk, origin, with_scopes


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def ana(desk: Desk) -> Principal:
    return desk.person()


async def test_a_key_that_expires_makes_and_rotates_none_that_outlives_it(desk: Desk, ana: Principal) -> None:
    ends = datetime.now(UTC) + HOUR
    short = with_scopes(ana, "keys.write", "chat.read", expire_time=ends.timestamp())
    for wanted, ends_at in (
        (None, ends),
        (ends + HOUR, ends),
        (ends, ends),
        (ends - HOUR / 2, ends - HOUR / 2),
    ):
        key, _ = await desk.made(short, expires=wanted)
        assert key.expire_time == ends_at
    lasting, _ = await desk.made(ana)
    longer, _ = await desk.made(ana, expires=ends + HOUR)
    for key in (lasting, longer):
        with pytest.raises(PermissionDenied) as refused:
            await desk.rotate(short, key.api_key_id, HOUR, "", origin(ana))
        assert (refused.value.reason, refused.value.metadata) == ("SCOPE_REQUIRED", {"scope": "keys.write"})
    for key in (await desk.made(ana, expires=ends))[0], (await desk.made(ana, expires=ends - HOUR / 2))[0]:
        await desk.rotate(short, key.api_key_id, HOUR, "", origin(ana))


async def test_neither_a_login_nor_a_lasting_key_bounds_what_it_makes(desk: Desk, ana: Principal) -> None:
    login = dataclasses.replace(ana, expire_time=datetime.now(UTC).timestamp() + 60)
    later = datetime.now(UTC) + 24 * HOUR
    for caller in (login, with_scopes(ana, "keys.write", "chat.read")):
        for wanted in (None, later):
            key, _ = await desk.made(caller, expires=wanted)
            assert key.expire_time == wanted
            await desk.rotate(caller, key.api_key_id, HOUR, "", origin(ana))


async def test_a_retry_with_another_credential_is_the_same_call(desk: Desk, ana: Principal) -> None:
    request_id = str(uuid.uuid4())
    ends = datetime.now(UTC).timestamp() + 60
    made, _ = await desk.made(
        with_scopes(ana, "keys.write", "chat.read", expire_time=ends), request_id=request_id
    )
    assert await desk.made(ana, request_id=request_id) == (made, "")


async def test_a_key_that_ends_with_the_calendar_makes_keys(desk: Desk, ana: Principal) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    caller = with_scopes(ana, "keys.write", "chat.read", expire_time=last.timestamp())
    made, _ = await desk.made(caller)
    assert made.expire_time is not None
    assert made.expire_time <= last


async def test_an_old_secret_in_its_grace_does_everything_but_look_after_keys(
    desk: Desk, ana: Principal
) -> None:
    key, old = await desk.made(ana, "chat.read", "keys.read", "keys.write")
    assert (await desk.own.verify(old)).scopes == frozenset({"chat.read", "keys.read", "keys.write"})
    _, new = await desk.rotate(ana, key.api_key_id, HOUR, "", origin(ana))
    assert (await desk.own.verify(old)).scopes == frozenset({"chat.read", "keys.read"})
    assert (await desk.own.verify(new)).scopes == frozenset({"chat.read", "keys.read", "keys.write"})


async def test_an_administrators_key_needs_the_scope_for_what_is_others(desk: Desk, ana: Principal) -> None:
    chief = desk.person(Role.ADMIN)
    key, text = await desk.made(ana)
    plain = with_scopes(chief, "keys.read", "keys.write")
    refused_calls: tuple[Coroutine[Any, Any, object], ...] = (
        desk.list(plain, ana.user_id, 0, "", 0),
        desk.get(plain, key.api_key_id, ana.user_id),
        desk.revoke(plain, key.api_key_id, ana.user_id, origin(plain)),
    )
    for call in refused_calls:
        with pytest.raises(PermissionDenied) as refused:
            await call
        assert (refused.value.reason, refused.value.metadata) == ("SCOPE_REQUIRED", {"scope": "admin"})
    assert await desk.accepted(text)
    page, _ = await desk.list(plain, chief.user_id.upper(), 0, "", 0)
    assert page.items == []
    # The scope makes nobody an administrator.
    with pytest.raises(PermissionDenied) as refused:
        await desk.list(with_scopes(ana, "keys.read", "admin"), chief.user_id, 0, "", 0)
    assert refused.value.reason == "ROLE_REQUIRED"
    full = with_scopes(chief, "keys.read", "keys.write", "admin")
    page, _ = await desk.list(full, ana.user_id, 0, "", 0)
    assert [found.api_key_id for found in page.items] == [key.api_key_id]
    assert (await desk.get(full, key.api_key_id, ana.user_id)).user_id == ana.user_id
    await desk.revoke(full, key.api_key_id, ana.user_id, origin(full))
    assert not await desk.accepted(text)
