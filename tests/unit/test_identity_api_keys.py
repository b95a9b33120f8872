"""API keys: whom they let in, what is remembered of them, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from services.capabilities.identity.api_keys import KnownApiKeys
from services.capabilities.identity.errors import ApiKeyInvalid, RevocationsUnknown
from services.capabilities.identity.model import Proof
from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.errors import Unauthenticated, Unavailable
from services.kernel.principal import Kind, Principal
from tests.fakes.identity_tokens import SECRET, authenticator, bearer, own_token, refusal
from tests.fakes.revocation_feed import Clock, until

KEY = "ak_abcdefghijklmnop_" + "s" * 43
OWNER = Principal(Kind.USER, user_id="u1", api_key_id="k1", scopes=frozenset(("chat.read",)))


def made_up(number: int) -> str:
    """A key of the right form that nobody made."""
    return f"ak_{'a' * 16}_{number:043}"


class Auth:
    """Verifies keys: those in `good`; counts what it is asked."""

    def __init__(self) -> None:
        self.good = {KEY: OWNER}
        self.asked = 0
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()
        # What happens between a lookup's beginning and its answer.
        self.meanwhile: Callable[[], None] = lambda: None

    async def verify(self, key: str) -> Principal:
        self.asked += 1
        if self.away:
            raise Unavailable("Auth is away")
        found = self.good.get(key)
        self.meanwhile()
        await self.answers.wait()
        if found is None:
            raise ApiKeyInvalid
        return found


class Feed:
    """Revocations that a test sets."""

    def __init__(self) -> None:
        self.position = 0
        self.changed_at = 0
        self.lost = False

    def change(self) -> None:
        self.position = self.changed_at = self.position + 1

    def is_deleted(self, user_id: str) -> bool:
        return False

    def is_revoked(self, proof: Proof) -> bool:
        if self.lost:
            raise RevocationsUnknown
        return self.changed_at > proof.revision


class World:
    def __init__(self) -> None:
        self.auth, self.feed = Auth(), Feed()
        self.clock, self.wall = Clock(0.0), Clock(time.time())
        self.keys = self.remembering(100)

    def remembering(self, most: int) -> KnownApiKeys:
        return KnownApiKeys(self.auth, self.feed, remembered=most, clock=self.clock, wall_clock=self.wall)

    async def refused(self, key: str = KEY) -> str:
        with pytest.raises((Unauthenticated, Unavailable)) as refused:
            await self.keys.proof(key)
        return type(refused.value).__name__


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def private() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize("metadata", [bearer(KEY), {"authorization": f"bearer  {KEY} "}, {"x-api-key": KEY}])
async def test_a_key_lets_its_owner_in_by_either_header(
    private: RSAPrivateKey, metadata: Mapping[str, str]
) -> None:
    assert await authenticator(private, api_keys=Auth()).authenticate(metadata) == OWNER


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"x-api-key": KEY, "authorization": f"Bearer {KEY}"}, "TOKEN_INVALID"),
        ({"x-api-key": f"{KEY}, {KEY}"}, "API_KEY_INVALID"),
        ({"authorization": f"Bearer {KEY}, Bearer {KEY}"}, "API_KEY_INVALID"),
        ({"authorization": f"Bearer {KEY}", "x-on-behalf-of": "u2"}, "TOKEN_INVALID"),
        ({"x-api-key": KEY, "x-on-behalf-of": "u2"}, "TOKEN_INVALID"),
        ({"x-api-key": f"Bearer {KEY}"}, "API_KEY_INVALID"),
        ({"x-api-key": "ak_" + "a" * 300}, "API_KEY_INVALID"),
        ({"x-api-key": "ak_\udcff"}, "API_KEY_INVALID"),
        ({"x-api-key": "ak_"}, "API_KEY_INVALID"),
        (bearer("ak_" + "a" * 5000), "API_KEY_INVALID"),
        ({"authorization": f"Basic {KEY}"}, "TOKEN_INVALID"),
        ({"authorization": KEY}, "TOKEN_INVALID"),
    ],
    ids=str,
)
async def test_credentials_that_can_not_be_meant_are_refused(
    private: RSAPrivateKey, metadata: Mapping[str, str], reason: str
) -> None:
    subject = authenticator(private, api_keys=Auth())
    assert (await refusal(subject, metadata)).reason == reason


async def test_what_can_be_no_key_is_refused_without_asking(world: World) -> None:
    for text in (
        "ak_" + "a" * 254,
        "ak_a b",
        "ak_é",
        "ak_\0",
        KEY + "s",
        KEY[:-1],
        KEY.replace("_s", "-s"),
        KEY.replace("abc", "ABC"),
        KEY.replace("abc", "018"),
        KEY[:-1] + "_",
        KEY + "\n",
    ):
        assert await world.refused(text) == "ApiKeyInvalid"
    assert world.auth.asked == 0


async def test_a_key_is_asked_for_once_a_minute(world: World) -> None:
    first = await world.keys.proof(KEY)
    world.clock.now += 59.9
    assert await world.keys.proof(KEY) is first
    assert world.auth.asked == 1
    world.clock.now += 0.2
    assert await world.keys.proof(KEY) is not first
    assert world.auth.asked == 2


async def test_a_change_of_the_key_or_its_owner_is_asked_for_at_once(world: World) -> None:
    await world.keys.proof(KEY)
    world.auth.good[KEY] = Principal(Kind.ADMIN, user_id="u1", api_key_id="k1", scopes=frozenset())
    world.feed.change()
    assert (await world.keys.proof(KEY)).principal.kind is Kind.ADMIN
    del world.auth.good[KEY]
    world.feed.change()
    assert await world.refused() == "ApiKeyInvalid"
    assert world.auth.asked == 3


async def test_a_change_while_the_answer_is_on_its_way_makes_it_ask_again(world: World) -> None:
    def revoke_once() -> None:
        world.auth.meanwhile = lambda: None
        world.auth.good.clear()
        world.feed.change()

    # The answer was right when the question was answered, and is no more when it arrives.
    world.auth.meanwhile = revoke_once
    assert await world.refused() == "ApiKeyInvalid"
    assert world.auth.asked == 2


async def test_a_key_that_keeps_changing_is_asked_for_a_few_times_only(world: World) -> None:
    world.auth.meanwhile = world.feed.change
    assert await world.refused() == "Unavailable"
    assert world.auth.asked == 3


async def test_a_refused_key_costs_one_question_each_five_seconds(world: World) -> None:
    world.auth.good.clear()
    for _ in range(20):
        assert await world.refused() == "ApiKeyInvalid"
    assert world.auth.asked == 1
    world.clock.now += 5.1
    world.auth.good[KEY] = OWNER
    assert (await world.keys.proof(KEY)).principal == OWNER


async def test_calls_at_once_ask_once(world: World) -> None:
    world.auth.answers.clear()
    calls = [asyncio.create_task(world.keys.proof(KEY)) for _ in range(20)]
    await until(lambda: world.auth.asked)
    # Whoever asked first may go away; the others are answered all the same.
    calls[0].cancel()
    world.auth.answers.set()
    proofs = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(proofs[0], asyncio.CancelledError)
    assert {id(proof) for proof in proofs[1:]} == {id(proofs[1])}
    assert world.auth.asked == 1


async def test_a_known_key_passes_while_auth_is_away(world: World) -> None:
    first = await world.keys.proof(KEY)
    world.auth.away = True
    world.clock.now += 61
    assert await world.keys.proof(KEY) is first
    assert await world.keys.proof(KEY) is first
    assert world.auth.asked == 2  # not on every call
    world.clock.now += 3
    assert await world.keys.proof(KEY) is first
    assert world.auth.asked == 3
    # A change that was heard ends that, and so does a feed that has been silent for too long.
    world.feed.lost = True
    assert await world.refused() == "RevocationsUnknown"
    world.feed.lost = False
    world.feed.change()
    assert await world.refused() == "Unavailable"
    world.auth.away = False
    assert (await world.keys.proof(KEY)).principal == OWNER


async def test_an_unknown_key_does_not_pass_while_auth_is_away(world: World) -> None:
    world.auth.away = True
    assert await world.refused() == "Unavailable"
    world.auth.away = False
    assert (await world.keys.proof(KEY)).principal == OWNER


async def test_a_known_key_does_not_wait_long_for_an_auth_that_says_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.capabilities.identity.api_keys._PATIENCE_SECONDS", 0.02)
    first = await world.keys.proof(KEY)
    world.clock.now += 61
    world.auth.answers.clear()
    assert await world.keys.proof(KEY) is first
    await world.keys.aclose()


async def test_a_key_does_not_outlive_its_end(world: World) -> None:
    ends = world.wall.now + 10
    world.auth.good[KEY] = Principal(
        Kind.USER, user_id="u1", api_key_id="k1", scopes=frozenset(), expire_time=ends
    )
    await world.keys.proof(KEY)
    world.wall.now = ends
    world.auth.away = True
    assert await world.refused() == "Unavailable"
    world.auth.away = False
    world.auth.good.clear()
    assert await world.refused() == "ApiKeyInvalid"


async def test_what_is_remembered_is_bounded_and_holds_no_key(world: World) -> None:
    world.keys = world.remembering(3)
    for number in range(6):
        world.auth.good[made_up(number)] = OWNER
        await world.keys.proof(made_up(number))
    assert len(world.keys._held) == 3
    for number in range(1100):
        await world.refused(made_up(100 + number))
    assert len(world.keys._refused) == 1000
    assert not world.keys._lookups
    assert {len(digest) for digest in (*world.keys._held, *world.keys._refused)} == {32}


async def test_lookups_under_way_are_bounded(world: World) -> None:
    world.auth.answers.clear()
    calls = [asyncio.create_task(world.refused(made_up(number))) for number in range(256)]
    await until(lambda: world.auth.asked == 256)
    assert await world.refused(made_up(256)) == "Unavailable"
    world.auth.answers.set()
    assert set(await asyncio.gather(*calls)) == {"ApiKeyInvalid"}


async def test_made_up_keys_keep_no_known_key_from_passing_or_from_being_looked_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.capabilities.identity.api_keys._PATIENCE_SECONDS", 0.02)
    held = [made_up(1000 + number) for number in range(65)]
    world.auth.good.update(dict.fromkeys(held, OWNER))
    first = [await world.keys.proof(key) for key in held]
    world.clock.now += 61
    world.auth.answers.clear()
    asked = world.auth.asked
    calls = [asyncio.create_task(world.refused(made_up(number))) for number in range(300)]
    await until(lambda: world.auth.asked == asked + 256)
    # Nobody answers, and strangers have all the places that they can have.
    assert [await world.keys.proof(key) for key in held] == first
    assert world.auth.asked == asked + 256 + 64
    world.auth.answers.set()
    assert await asyncio.gather(*calls) == ["ApiKeyInvalid"] * 256 + ["Unavailable"] * 44


async def test_a_wall_clock_that_is_set_back_prolongs_nothing(world: World) -> None:
    await world.keys.proof(KEY)
    world.wall.now -= 86_400
    world.clock.now += 61
    world.auth.good.clear()
    assert await world.refused() == "ApiKeyInvalid"
    # The same for what is refused.
    world.auth.good[KEY] = OWNER
    world.wall.now -= 86_400
    world.clock.now += 5.1
    assert (await world.keys.proof(KEY)).principal == OWNER


async def test_verifying_anew_answers_nothing_from_memory(private: RSAPrivateKey) -> None:
    auth, feed = Auth(), Feed()
    subject = authenticator(private, api_keys=auth, revocations=feed)
    token = own_token(private)
    for _ in range(2):
        assert await subject.verify(KEY) == OWNER
    assert auth.asked == 2
    assert (await subject.verify(token)).kind is Kind.USER
    assert (await subject.verify(ServiceTokens(SECRET, "chat").token())).service == "chat"
    feed.change()
    assert await subject.verify(KEY) == OWNER
    for credential, reason in (
        (token, "TOKEN_REVOKED"),
        ("ak_none", "API_KEY_INVALID"),
        ("x", "TOKEN_INVALID"),
    ):
        with pytest.raises(Unauthenticated) as refused:
            await subject.verify(credential)
        assert refused.value.reason == reason
    feed.lost = True
    for credential in (token, KEY):
        with pytest.raises(RevocationsUnknown):
            await subject.verify(credential)
