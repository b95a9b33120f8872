"""Registering, logging in, refreshing and logging out, over stores in memory."""

from __future__ import annotations

import uuid
from collections.abc import Coroutine
from datetime import timedelta
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from services.auth.errors import (
    AccountDisabled,
    EmailTaken,
    InvalidCredentials,
    RefreshTokenExpired,
    RefreshTokenInvalid,
    RefreshTokenReused,
    RefreshTokenRevoked,
    RegistrationClosed,
    UsernameTaken,
)
from services.auth.model.accounts import Account
from services.auth.model.audit import Origin
from services.auth.model.sessions import TokenPair
from services.auth.usecases.register import Registration
from services.kernel.errors import AlreadyExists, InvalidArgument, NotFound, ServiceError
from services.kernel.principal import Kind, Principal
from tests.fakes.auth_world import ANA, GRACE, MONTH, World

T = TypeVar("T")


@pytest.fixture
def world() -> World:
    return World()


async def test_who_registers_can_log_in_and_see_the_profile(world: World) -> None:
    user = await world.register(ANA)
    pair, logged_in = await world.login("ANA@example.com", "correct horse", "laptop")
    assert logged_in == user
    user_id, session_id, role = pair.access.text.split("/")
    assert (user_id, role) == (user.user_id, "user")
    profile = await world.profile(Principal(Kind.USER, user_id=user_id, session_id=session_id))
    assert (profile.email, profile.username, profile.display_name) == ("ana@example.com", "ana", "Ana")


async def test_email_and_username_are_taken_once(world: World) -> None:
    await world.register(ANA)
    with pytest.raises(EmailTaken):
        await world.register(Registration("Ana@Example.com", "another one"))
    with pytest.raises(UsernameTaken):
        await world.register(Registration("bob@example.com", "another one", username="ANA"))


async def test_registering_again_with_the_same_request_id_gives_the_same_account(world: World) -> None:
    request_id = str(uuid.uuid4())
    ana = Registration("ana@example.com", "correct horse", request_id=request_id)
    assert await world.register(ana) == await world.register(ana)
    with pytest.raises(AlreadyExists) as reused:
        await world.register(Registration("ana@example.com", "another password", request_id=request_id))
    assert reused.value.reason == "REQUEST_ID_REUSED"
    ((digest, _),) = world.memory.claims.values()
    assert b"correct horse" not in digest


async def test_a_request_id_that_others_could_guess_is_refused(world: World) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await world.register(Registration("ana@example.com", "correct horse", request_id=str(uuid.uuid1())))
    assert [violation.field for violation in refused.value.violations] == ["request_id"]


async def test_text_that_cannot_be_stored_is_refused_by_its_field(world: World) -> None:
    with pytest.raises(InvalidArgument, match="display_name"):
        await world.register(Registration("ana@example.com", "correct horse", display_name="a\0b"))
    await world.register(ANA)
    with pytest.raises(InvalidArgument, match="device_name"):
        await world.login("ana@example.com", "correct horse", "a\0b")


async def test_registration_can_be_closed() -> None:
    with pytest.raises(RegistrationClosed) as closed:
        await World(is_open=False).register(ANA)
    assert (closed.value.reason, closed.value.metadata) == ("ROLE_REQUIRED", {"role": "admin"})


async def test_a_closed_registration_says_nothing_about_the_password() -> None:
    with pytest.raises(RegistrationClosed):
        await World(is_open=False).register(Registration("ana@example.com", "password1"))


async def test_a_common_password_registers_nobody(world: World) -> None:
    with pytest.raises(InvalidArgument, match="choose another one") as refused:
        await world.register(Registration("ana@example.com", "PassWord1"))
    assert [violation.field for violation in refused.value.violations] == ["password"]
    assert not world.memory.accounts


async def test_who_registers_is_who_did_it(world: World) -> None:
    user = await world.register(ANA)
    (line,) = world.memory.deeds
    assert (line.action, line.user_id, line.origin) == (
        "user.register",
        user.user_id,
        Origin(user.user_id, "192.0.2.1"),
    )


async def test_an_unknown_email_and_a_wrong_password_cost_and_look_the_same(world: World) -> None:
    await world.register(ANA)
    with pytest.raises(InvalidCredentials) as wrong:
        await world.login("ana@example.com", "wrong")
    with pytest.raises(InvalidCredentials) as unknown:
        await world.login("bob@example.com", "wrong")
    assert wrong.value.message == unknown.value.message
    assert world.passwords.checks == ["plain:correct horse", None]


async def test_only_the_owner_learns_that_an_account_is_disabled(world: World) -> None:
    user = await world.register(ANA)
    pair, _ = await world.login("ana@example.com", "correct horse")
    world.memory.change(user.user_id, disabled=True)
    with pytest.raises(InvalidCredentials):
        await world.login("ana@example.com", "wrong")
    with pytest.raises(AccountDisabled):
        await world.login("ana@example.com", "correct horse")
    with pytest.raises(AccountDisabled):
        await world.refresh(pair.refresh_token)
    with pytest.raises(AccountDisabled):
        await world.profile(Principal(Kind.USER, user_id=user.user_id))


async def test_a_hash_made_with_old_settings_is_renewed_at_login(world: World) -> None:
    user = await world.register(ANA)
    world.memory.accounts[user.user_id] = Account(user, "old:correct horse")
    await world.login("ana@example.com", "correct horse")
    assert world.memory.accounts[user.user_id].password_hash == "plain:correct horse"
    await world.login("ana@example.com", "correct horse")


async def test_a_stranger_and_a_deleted_account_have_no_profile(world: World) -> None:
    for user_id in (str(uuid.uuid4()), ""):
        with pytest.raises(NotFound):
            await world.profile(Principal(Kind.SERVICE, user_id=user_id, service="chat"))


async def test_a_refresh_keeps_the_session_and_replays_within_the_grace(world: World) -> None:
    await world.register(ANA)
    first, _ = await world.login("ana@example.com", "correct horse")
    second = await world.refresh(first.refresh_token)
    again = await world.refresh(first.refresh_token)
    assert again.refresh_token == second.refresh_token != first.refresh_token
    assert again.refresh_expire_time == second.refresh_expire_time
    assert first.access.text == second.access.text


async def test_a_tab_that_lags_behind_catches_up_within_the_grace(world: World) -> None:
    await world.register(ANA)
    first, _ = await world.login("ana@example.com", "correct horse")
    ahead = first
    for _ in range(3):
        ahead = await world.refresh(ahead.refresh_token)
    lagging = await world.refresh(first.refresh_token)
    assert lagging.refresh_token == ahead.refresh_token
    assert lagging.refresh_expire_time == ahead.refresh_expire_time
    world.memory.later = GRACE
    following = await world.refresh(lagging.refresh_token)
    assert (await world.refresh(ahead.refresh_token)).refresh_token == following.refresh_token


async def test_a_reused_token_ends_the_session(world: World) -> None:
    await world.register(ANA)
    first, _ = await world.login("ana@example.com", "correct horse")
    elsewhere, _ = await world.login("ana@example.com", "correct horse")
    second = await world.refresh(first.refresh_token)
    world.memory.later = GRACE
    with pytest.raises(RefreshTokenReused):
        await world.refresh(first.refresh_token)
    for pair in (first, second):
        with pytest.raises(RefreshTokenRevoked):
            await world.refresh(pair.refresh_token)
    await world.refresh(elsewhere.refresh_token)


async def test_a_session_that_is_not_refreshed_ends(world: World) -> None:
    await world.register(ANA)
    pair, _ = await world.login("ana@example.com", "correct horse")
    world.memory.later = MONTH
    with pytest.raises(RefreshTokenExpired):
        await world.refresh(pair.refresh_token)


@pytest.mark.parametrize(
    "token", ["", "garbage", "rt_" + "A" * 43, "rt_" + "A" * 42 + "\n", "rt_" + "é" * 43]
)
async def test_what_is_no_refresh_token_of_ours_is_refused_and_logs_out_nobody(
    world: World, token: str
) -> None:
    with pytest.raises(RefreshTokenInvalid):
        await world.refresh(token)
    await world.logout(token)


async def test_logging_out_ends_the_session_with_all_its_tokens(world: World) -> None:
    await world.register(ANA)
    first, _ = await world.login("ana@example.com", "correct horse")
    second = await world.refresh(first.refresh_token)
    await world.logout(first.refresh_token)
    await world.logout(first.refresh_token)
    with pytest.raises(RefreshTokenRevoked):
        await world.refresh(second.refresh_token)


class Refreshing(RuleBasedStateMachine):
    """One login session in the hands of somebody who presents any token at any time."""

    tokens: Bundle[str] = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.living: str | None = None
        self.rotated: dict[str, tuple[str, timedelta]] = {}

    @initialize(target=tokens)
    def log_in(self) -> str:
        run(self.world.register(ANA))
        self.living = run(self.world.login("ana@example.com", "correct horse"))[0].refresh_token
        return self.living

    @rule(target=tokens, token=tokens)
    def refresh(self, token: str) -> str:
        now = self.world.memory.later
        try:
            pair: TokenPair = run(self.world.refresh(token))
        except RefreshTokenReused:
            assert now >= self.rotated[token][1] + GRACE
            self.living = None
            return token
        except RefreshTokenRevoked:
            assert self.living is None
            return token
        if token == self.living:
            self.rotated[token] = (pair.refresh_token, now)
            self.living = pair.refresh_token
        else:
            assert pair.refresh_token == self.living
            # The clock of the memory runs on a little while the test does.
            assert now < self.rotated[token][1] + GRACE
        return pair.refresh_token

    @rule()
    def wait_a_little(self) -> None:
        self.world.memory.later += GRACE / 2

    @rule()
    def wait(self) -> None:
        self.world.memory.later += GRACE

    @rule(token=tokens)
    def log_out(self, token: str) -> None:
        run(self.world.logout(token))
        self.living = None

    @invariant()
    def at_most_one_token_is_good(self) -> None:
        good = [t for t in self.world.memory.tokens.values() if not t.revoked and t.rotated_at is None]
        assert len(good) == (0 if self.living is None else 1)


def run(coroutine: Coroutine[None, None, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        value: T = stopped.value
        return value
    raise AssertionError("it waited")


Refreshing.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
test_refreshing = Refreshing.TestCase


def test_every_failure_says_what_to_do() -> None:
    for failure in (EmailTaken(), AccountDisabled(), RefreshTokenReused(), RegistrationClosed()):
        assert isinstance(failure, ServiceError)
        assert ";" in failure.message
