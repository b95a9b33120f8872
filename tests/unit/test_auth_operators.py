"""What happens on the server itself: the first administrator, and a password that is set anew."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.auth.errors import (
    AccountDisabled,
    InvalidCredentials,
    LoginDelayed,
    RefreshTokenRevoked,
)
from services.auth.model.accounts import Role
from services.auth.model.audit import COMMAND_LINE
from services.kernel.errors import InvalidArgument, NotFound
from services.kernel.startup import StartupError
from tests.fakes.auth_world import ANA, World


@pytest.fixture
def world() -> World:
    return World()


async def test_a_reset_password_is_the_only_one_and_ends_every_session(world: World) -> None:
    user = await world.register(ANA)
    pair, _ = await world.login("ana@example.com", "correct horse")
    done = await world.reset_password("ANA@example.com")
    assert (done.email, done.disabled) == ("ana@example.com", False)
    password = done.password
    assert len(password) == 20
    with pytest.raises(InvalidCredentials):
        await world.login("ana@example.com", "correct horse")
    with pytest.raises(RefreshTokenRevoked):
        await world.refresh(pair.refresh_token)
    await world.login("ana@example.com", password)
    reset = [line for line in world.memory.deeds if line.action == "user.reset_password"]
    assert [(line.user_id, line.origin) for line in reset] == [(user.user_id, COMMAND_LINE)]
    assert password not in repr(world.memory.deeds)


async def test_a_reset_takes_a_password_that_is_allowed(world: World) -> None:
    user = await world.register(ANA)
    for password in ("short", "password1", "x" * 257, "with\0nothing", "half \ud800 of a pair"):
        with pytest.raises(InvalidArgument) as refused:
            await world.reset_password("ana@example.com", password)
        assert [violation.field for violation in refused.value.violations] == ["password"]
    await world.login("ana@example.com", "correct horse")
    assert (await world.reset_password(user.user_id.upper(), "battery staple")).password == "battery staple"
    await world.login("ana@example.com", "battery staple")


async def test_a_reset_of_nobody_is_told(world: World) -> None:
    with pytest.raises(NotFound, match=r"ana@example\.com"):
        await world.reset_password("ana@example.com")
    with pytest.raises(NotFound):
        await world.reset_password("0198c5a2-0000-7000-8000-0000000000ff")


async def test_a_reset_ends_the_delay_and_leaves_the_disabled_disabled(world: World) -> None:
    user = await world.register(ANA)
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await world.login("ana@example.com", "wrong")
    with pytest.raises(LoginDelayed):
        await world.login("ana@example.com", "correct horse")
    await world.reset_password("ana@example.com", "battery staple")
    assert await world.attempts.delay("ana@example.com", "") == 0
    world.memory.later += timedelta(hours=1)
    await world.login("ana@example.com", "battery staple")
    world.memory.change(user.user_id, disabled=True)
    done = await world.reset_password("ana@example.com")
    assert done.disabled
    with pytest.raises(AccountDisabled):
        await world.login("ana@example.com", done.password)


async def test_the_first_administrator_is_shown_once(world: World) -> None:
    async with world.ensure_administrator("admin@example.com") as made:
        assert made is not None
        assert made.email == "admin@example.com"
        assert len(made.password) == 20
        assert made.password not in repr(made)
        _, user = await world.login(made.email, made.password)
        assert user.role is Role.ADMIN
    async with world.ensure_administrator("admin@example.com") as again:
        assert again is None


async def test_a_password_that_was_not_shown_is_replaced_by_the_next_start(world: World) -> None:
    with pytest.raises(RuntimeError, match="port"):
        async with world.ensure_administrator("admin@example.com") as lost:
            raise RuntimeError("the port is taken")
    assert lost is not None
    async with world.ensure_administrator("admin@example.com") as made:
        assert made is not None
        assert made.password != lost.password
        await world.login(made.email, made.password)
    with pytest.raises(InvalidCredentials):
        await world.login(lost.email, lost.password)


async def test_of_two_starts_at_once_one_makes_the_administrator(world: World) -> None:
    async with (
        world.ensure_administrator("admin@example.com") as one,
        world.ensure_administrator("admin@example.com") as other,
    ):
        assert one is not None
        assert other is None


async def test_an_ordinary_account_in_the_way_stops_the_start(world: World) -> None:
    await world.register(ANA)
    with pytest.raises(StartupError, match="ordinary account"):
        async with world.ensure_administrator("ana@example.com"):
            pass
