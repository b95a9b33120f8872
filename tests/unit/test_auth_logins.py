"""Logging in and changing a password while logins fail, over stores in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.auth.errors import AccountDisabled, InvalidCredentials, LoginDelayed
from services.auth.model.accounts import Account, NewAccount, Role
from services.auth.model.audit import Deed, Origin
from services.auth.model.sessions import AccessToken
from services.auth.ports.accounts import PasswordCheck
from services.auth.providers.refresh_tokens import OpaqueRefreshTokens
from services.auth.usecases.change_password import ChangePassword
from services.auth.usecases.login import Login
from services.kernel.errors import NotFound, ServiceError
from services.kernel.ids import new_id
from services.kernel.principal import Kind, Principal
from tests.fakes.auth_memory import (
    Memory,
    MemoryAccounts,
    MemoryAuditTrail,
    PlainPasswords,
)
from tests.fakes.auth_memory_attempts import MemoryLoginAttempts
from tests.fakes.auth_memory_sessions import MemorySessions

FREE = 5
HERE, THERE = Origin("", "192.0.2.1"), Origin("", "192.0.2.2")
RIGHT, WRONG = "correct horse", "wrong horse"


class SlowPasswords(PlainPasswords):
    """Passwords during whose check others go on guessing: they fail `meanwhile` times."""

    def __init__(self, attempts: MemoryLoginAttempts) -> None:
        super().__init__()
        self._attempts = attempts
        self.meanwhile = 0

    async def check(self, password_hash: str | None, password: str) -> PasswordCheck:
        for _ in range(self.meanwhile):
            await self._attempts.failed("ana@example.com", THERE.address)
        return await super().check(password_hash, password)


class AnyPassword:
    """Every password is allowed."""

    def check(self, field: str, password: str) -> None:
        pass


class NamedAccessTokens:
    """Access tokens that say whose they are."""

    async def sign(self, user_id: str, session_id: str, role: Role, revision: int) -> AccessToken:
        return AccessToken(f"{user_id}/{session_id}", Memory().now() + timedelta(minutes=15))


class World:
    """Ana has an account; nobody else has."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.accounts, self.sessions = MemoryAccounts(self.memory), MemorySessions(self.memory)
        self.attempts = MemoryLoginAttempts(self.memory, FREE, 60.0)
        self.passwords = SlowPasswords(self.attempts)
        self.login = Login(
            self.accounts,
            self.sessions,
            self.passwords,
            OpaqueRefreshTokens(),
            NamedAccessTokens(),
            self.attempts,
            MemoryAuditTrail(self.memory),
            lifetime=timedelta(days=30),
        )
        self.change_password = ChangePassword(
            self.accounts,
            self.sessions,
            self.passwords,
            AnyPassword(),
            self.attempts,
            MemoryAuditTrail(self.memory),
        )
        self.ana = NewAccount(new_id(), "Ana@Example.com", f"plain:{RIGHT}")

    async def try_login(
        self, password: str, origin: Origin = HERE, email: str = "ana@example.com"
    ) -> type[ServiceError] | None:
        """How it fails, if it does."""
        try:
            await self.login(email, password, "", origin)
        except ServiceError as error:
            return type(error)
        return None

    async def fail(self, times: int, origin: Origin = HERE, email: str = "ana@example.com") -> None:
        for _ in range(times):
            assert await self.try_login(WRONG, origin, email) is InvalidCredentials

    def lines(self) -> list[tuple[str, str, str, str]]:
        return [
            (deed.action, deed.user_id, deed.origin.actor_id, deed.origin.address)
            for deed in self.memory.deeds
        ]


@pytest.fixture
async def world() -> World:
    made = World()
    await made.accounts.add(made.ana, Deed("user.register", made.ana.user_id, HERE))
    made.memory.deeds.clear()
    return made


@pytest.mark.parametrize("email", ["ana@example.com", "nobody@example.com"])
async def test_after_five_failures_no_password_is_looked_at_for_a_while(world: World, email: str) -> None:
    await world.fail(FREE, email=email)
    looked_at = len(world.passwords.checks)
    for password in (WRONG, RIGHT):
        with pytest.raises(LoginDelayed) as delayed:
            await world.login(email.upper(), password, "", THERE)
        assert delayed.value.retry_after is not None
        assert 0 < delayed.value.retry_after <= 1
        assert (delayed.value.reason, delayed.value.metadata) == ("LOGIN_DELAYED", {})
    assert len(world.passwords.checks) == looked_at
    world.memory.later += timedelta(seconds=1)
    expected = None if email.startswith("ana") else InvalidCredentials
    assert await world.try_login(RIGHT, THERE, email) is expected


async def test_an_address_is_delayed_whomever_it_tries(world: World) -> None:
    for number in range(FREE):
        await world.fail(1, email=f"{number}@example.com")
    assert await world.try_login(RIGHT) is LoginDelayed
    assert await world.try_login(RIGHT, THERE) is None


async def test_a_login_clears_the_account_and_not_the_address(world: World) -> None:
    await world.fail(FREE - 1)
    assert await world.try_login(RIGHT, THERE) is None
    await world.fail(1)
    assert await world.try_login(RIGHT, THERE) is None
    assert await world.try_login(RIGHT, HERE) is LoginDelayed


@pytest.mark.parametrize("password", [RIGHT, WRONG])
@pytest.mark.parametrize("disabled", [False, True])
async def test_guesses_at_once_tell_nothing_once_a_delay_has_begun(
    world: World, password: str, disabled: bool
) -> None:
    world.memory.change(world.ana.user_id, disabled=disabled)
    world.passwords.meanwhile = FREE
    assert await world.try_login(password) is LoginDelayed
    assert world.memory.tokens == {}
    assert world.lines() == []


async def test_a_disabled_account_counts_neither_as_failed_nor_as_logged_in(world: World) -> None:
    world.memory.change(world.ana.user_id, disabled=True)
    await world.fail(FREE - 1)
    for _ in range(FREE):
        assert await world.try_login(RIGHT) is AccountDisabled
    await world.fail(1)
    assert await world.try_login(RIGHT) is LoginDelayed


async def test_the_trail_has_what_failed_and_names_no_email(world: World) -> None:
    await world.fail(1, THERE)
    await world.fail(1, email="nobody@example.com")
    assert await world.try_login(RIGHT) is None
    ana = world.ana.user_id
    assert world.lines() == [
        ("user.login_failed", ana, "", THERE.address),
        ("user.login_failed", "", "", HERE.address),
        ("user.login", ana, ana, HERE.address),
    ]
    assert "example.com" not in repr(world.memory.deeds)


async def test_a_hash_made_with_old_settings_is_renewed_only_for_who_knows_the_password(world: World) -> None:
    old = world.memory.accounts[world.ana.user_id]
    world.memory.accounts[world.ana.user_id] = Account(old.user, f"old:{RIGHT}")
    await world.fail(1)
    assert world.memory.accounts[world.ana.user_id].password_hash == f"old:{RIGHT}"
    assert await world.try_login(RIGHT) is None
    assert world.memory.accounts[world.ana.user_id].password_hash == f"plain:{RIGHT}"


async def test_a_new_password_needs_the_current_one_and_guessing_it_is_delayed(world: World) -> None:
    caller = Principal(Kind.USER, user_id=world.ana.user_id, session_id=new_id())
    for _ in range(FREE):
        with pytest.raises(InvalidCredentials):
            await world.change_password(caller, WRONG, "new horse", HERE)
    assert world.lines() == [("user.change_password_failed", world.ana.user_id, "", HERE.address)] * FREE
    with pytest.raises(LoginDelayed):
        await world.change_password(caller, RIGHT, "new horse", THERE)
    assert len(world.lines()) == FREE
    assert await world.try_login(RIGHT, THERE) is LoginDelayed
    world.memory.later += timedelta(seconds=1)
    await world.change_password(caller, RIGHT, "new horse", THERE)
    assert await world.try_login(RIGHT, THERE) is InvalidCredentials
    assert await world.try_login("new horse", THERE) is None
    stranger = Principal(Kind.USER, user_id=new_id())
    with pytest.raises(NotFound):
        await world.change_password(stranger, RIGHT, "new horse", HERE)


async def test_a_current_password_that_came_out_right_during_a_delay_changes_nothing(world: World) -> None:
    world.passwords.meanwhile = FREE
    caller = Principal(Kind.USER, user_id=world.ana.user_id)
    for password in (RIGHT, WRONG):
        with pytest.raises(LoginDelayed):
            await world.change_password(caller, password, "new horse", HERE)
    assert world.lines() == []
    assert world.memory.accounts[world.ana.user_id].password_hash == f"plain:{RIGHT}"
