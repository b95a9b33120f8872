"""What a process knows of revocations, and when it says that it can't know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.capabilities.identity.errors import RevocationsUnknown
from services.capabilities.identity.model import Proof
from services.capabilities.identity.revocation_cache import Known, RevocationCache
from services.capabilities.identity.revocation_metrics import RevocationMetrics
from services.capabilities.identity.revocations import Heartbeat, Revocation, RevocationKind, Synced
from services.kernel.principal import Kind, Principal
from tests.fakes.revocation_feed import Clock, SpokenFeed, api_key, entry, login, until

SESSION, USER = RevocationKind.SESSION, RevocationKind.USER
DELETED, API_KEY = RevocationKind.USER_DELETED, RevocationKind.API_KEY
ALLOWANCE = 30.0


class World:
    """A cache, the feed that it follows, and its clocks."""

    def __init__(self) -> None:
        self.feed = SpokenFeed()
        self.clock, self.wall = Clock(100.0), Clock(time.time())
        self.cache = RevocationCache(
            self.feed, ALLOWANCE, clock=self.clock, wall_clock=self.wall, pause=lambda longest: 0.0
        )

    async def hears(self, *items: Revocation | Synced | Heartbeat) -> None:
        self.feed.say(*items)
        await self.feed.heard()

    async def loses(self) -> None:
        again = len(self.feed.watched) + 1
        self.feed.lose()
        await until(lambda: len(self.feed.watched) == again)
        await self.feed.heard()

    def passes(self, seconds: float) -> None:
        self.clock.now += seconds
        self.wall.now += seconds


@pytest.fixture
async def unsynced() -> AsyncIterator[World]:
    made = World()
    starting = asyncio.create_task(made.cache.start())
    await made.feed.heard()
    yield made
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await made.cache.aclose()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    made.feed.say(Synced(0))
    await made.cache.start()
    yield made
    await made.cache.aclose()


async def test_a_session_is_refused_once_its_end_was_heard(world: World) -> None:
    proof, other = login(), login()
    assert not world.cache.is_revoked(proof)
    await world.hears(entry(1, SESSION, proof.principal.session_id))
    assert world.cache.is_revoked(proof)
    assert not world.cache.is_revoked(other)
    assert world.cache.position == 1


@pytest.mark.parametrize("make", [login, api_key])
async def test_an_entry_about_a_person_refuses_what_is_older_than_it(world: World, make: type) -> None:
    user_id = login().principal.user_id
    await world.hears(entry(7, USER, user_id))
    refused = [world.cache.is_revoked(make(user_id, revision=revision)) for revision in (0, 6, 7, 8)]
    assert refused == [True, True, False, False]
    assert not world.cache.is_revoked(make(revision=0))


@pytest.mark.parametrize("make", [login, api_key])
async def test_a_deleted_person_is_refused_whatever_the_credential_knows(world: World, make: type) -> None:
    proof = make(revision=99)
    await world.hears(entry(7, DELETED, proof.principal.user_id))
    assert world.cache.is_revoked(proof)


async def test_an_api_key_is_asked_for_again_after_an_entry_about_it(world: World) -> None:
    before, other = api_key(revision=6), api_key(revision=6)
    await world.hears(entry(7, API_KEY, before.principal.api_key_id))
    assert world.cache.is_revoked(before)
    assert not world.cache.is_revoked(other)
    again = Proof(before.principal, 0.0, world.cache.position)
    assert not world.cache.is_revoked(again)


async def test_nothing_revocable_passes_before_the_feed_is_complete(unsynced: World) -> None:
    await unsynced.hears(entry(1), Heartbeat(), entry(2))
    for proof in (login(), api_key()):
        with pytest.raises(RevocationsUnknown):
            unsynced.cache.is_revoked(proof)
    assert "not been heard" in (await unsynced.cache.check() or "")
    await unsynced.hears(Synced(2))
    assert not unsynced.cache.is_revoked(login())
    assert await unsynced.cache.check() is None


async def test_what_auth_can_not_take_back_passes_without_auth(unsynced: World) -> None:
    foreign = Proof(Principal(Kind.USER, user_id="u"), 0.0)
    service = Proof(Principal(Kind.SERVICE, service="chat"), 0.0)
    assert not unsynced.cache.is_revoked(foreign)
    assert not unsynced.cache.is_revoked(service)


async def test_credentials_pass_for_the_allowance_and_not_longer(world: World) -> None:
    await world.loses()
    world.passes(ALLOWANCE - 0.001)
    assert not world.cache.is_revoked(login())
    world.passes(0.002)
    for proof in (login(), api_key()):
        with pytest.raises(RevocationsUnknown) as refused:
            world.cache.is_revoked(proof)
    assert refused.value.retry_after
    await world.hears(Synced(0))
    assert not world.cache.is_revoked(login())


async def test_only_what_says_that_nothing_is_missing_ends_a_silence(world: World) -> None:
    world.passes(20.0)
    await world.hears(entry(1))
    assert world.cache.silence == 20.0
    await world.hears(Heartbeat())
    assert world.cache.silence == 0.0
    world.passes(20.0)
    await world.loses()
    await world.hears(entry(2), Heartbeat(), entry(3))
    assert world.cache.silence == 20.0
    await world.hears(Synced(3))
    assert world.cache.silence == 0.0


async def test_health_says_how_it_is_and_says_it_once(world: World) -> None:
    assert await world.cache.check() is None
    world.passes(3.0)
    assert await world.cache.check() is None
    world.passes(0.1)
    cut_off = await world.cache.check()
    assert cut_off == "cut off from Auth: login sessions and API keys are refused after 30 s of it"
    world.passes(10.0)
    assert await world.cache.check() == cut_off
    world.passes(20.0)
    assert "are refused" in (await world.cache.check() or "")
    assert await world.cache.check() != cut_off
    await world.hears(Heartbeat())
    assert await world.cache.check() is None


async def test_a_lost_feed_is_taken_up_where_it_was_left(world: World) -> None:
    proof = login()
    await world.hears(entry(4), entry(5, SESSION, proof.principal.session_id))
    await world.loses()
    await world.loses()
    assert world.feed.watched == [None, 5, 5]
    assert world.cache.reconnects == 2
    assert world.cache.is_revoked(proof)
    await world.hears(entry(6), Synced(6))
    await world.loses()
    assert world.feed.watched[-1] == 6


async def test_after_a_long_silence_all_is_read_anew_and_keys_are_asked_for_again(world: World) -> None:
    key, ended = api_key(revision=4), login()
    await world.hears(entry(4), Heartbeat())
    world.passes(61.0)
    await world.loses()
    assert world.feed.watched == [None, None]
    # An entry about the key may have come and been forgotten meanwhile.
    await world.hears(entry(9, SESSION, ended.principal.session_id), Synced(9))
    assert world.cache.is_revoked(key)
    assert world.cache.is_revoked(ended)
    assert not world.cache.is_revoked(Proof(key.principal, 0.0, 9))


async def test_a_snapshot_that_breaks_off_leaves_what_was_known(world: World) -> None:
    proof = login()
    await world.hears(entry(4, SESSION, proof.principal.session_id), Heartbeat())
    world.passes(61.0)
    await world.loses()
    await world.hears(entry(7))
    await world.loses()
    assert world.cache.position == 4
    await world.hears(entry(4, SESSION, proof.principal.session_id), entry(7), Synced(7))
    assert world.cache.is_revoked(proof)


async def test_a_feed_that_went_back_is_read_anew(world: World) -> None:
    """A database that was restored from a backup numbers its entries once more."""
    user_id = login().principal.user_id
    await world.hears(entry(50, USER, user_id), entry(100), Heartbeat())
    await world.loses()
    assert world.feed.watched[-1] == 100
    world.feed.say(Synced(40))
    await until(lambda: world.feed.watched[-1] is None)
    await world.hears(entry(40), Synced(40))
    assert world.cache.position == 40
    # Who logs in from now on is let in, and what is revoked from now on is heard.
    now = world.wall.now + 1
    assert not world.cache.is_revoked(login(user_id, revision=0, issued_at=now))
    proof = login(revision=0, issued_at=now)
    await world.hears(entry(41, USER, proof.principal.user_id))
    assert world.cache.is_revoked(proof)
    # A number of the old feed, in a token from before, says nothing about the new one.
    assert world.cache.is_revoked(login(revision=60, issued_at=world.wall.now - 5))
    assert world.cache.is_revoked(api_key(revision=100, issued_at=world.wall.now - 5))
    assert not world.cache.is_revoked(login(revision=40, issued_at=world.wall.now - 5))
    assert not world.cache.is_revoked(login(revision=60, issued_at=now))


async def test_an_entry_that_comes_twice_makes_it_start_over(world: World) -> None:
    await world.hears(entry(5), Heartbeat())
    world.feed.say(entry(5))
    await until(lambda: world.feed.watched == [None, None])
    await world.hears(entry(5), Synced(5))
    assert world.cache.position == 5


async def test_a_defect_of_the_feed_does_not_make_it_deaf(world: World) -> None:
    world.feed.say(RuntimeError("a defect"))
    await until(lambda: len(world.feed.watched) == 2)
    proof = login()
    await world.hears(entry(1, SESSION, proof.principal.session_id), Synced(1))
    assert world.cache.is_revoked(proof)


async def test_what_has_expired_is_forgotten_and_keys_are_asked_for_then(world: World) -> None:
    ended, changed = login(), api_key(revision=1)
    at = world.wall.now
    await world.hears(
        entry(2, SESSION, ended.principal.session_id, at=at),
        entry(3, API_KEY, changed.principal.api_key_id, at=at),
        entry(4, SESSION, at=at + 600),
        Heartbeat(),
    )
    assert world.cache.known == 3
    world.passes(960.0 + 59.0)
    await world.hears(Heartbeat())
    assert world.cache.known == 3
    world.passes(1.0)
    await world.hears(Heartbeat())
    assert world.cache.known == 1
    assert not world.cache.is_revoked(ended)
    assert world.cache.is_revoked(changed)
    assert not world.cache.is_revoked(Proof(changed.principal, 0.0, 4))
    assert world.cache.position == 4


async def test_metrics_show_silence_entries_and_reconnects(unsynced: World) -> None:
    registry = CollectorRegistry()
    registry.register(RevocationMetrics(unsynced.cache))
    assert registry.get_sample_value("antiphon_revocations_silent_seconds") == float("inf")
    await unsynced.hears(entry(1), Synced(1))
    unsynced.passes(4.0)
    await unsynced.loses()
    assert registry.get_sample_value("antiphon_revocations_silent_seconds") == 4.0
    assert registry.get_sample_value("antiphon_revocations_known") == 1
    assert registry.get_sample_value("antiphon_revocations_reconnects_total") == 1


async def test_a_start_without_auth_goes_on_and_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.capabilities.identity.revocation_cache._START_SECONDS", 0.02)
    cache = RevocationCache(SpokenFeed(), ALLOWANCE)
    await cache.start()
    assert await cache.check() is not None
    await cache.aclose()


SUBJECTS = ("a", "b", "c")
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(list(RevocationKind)),
        st.sampled_from(SUBJECTS),
        st.floats(0, 100),
        st.integers(1, 3),
    ),
    max_size=12,
)


@given(ENTRIES, st.lists(st.floats(0, 120), max_size=4))
def test_it_answers_as_a_list_of_all_entries_would(
    said: list[tuple[RevocationKind, str, float, int]], pruned_at: list[float]
) -> None:
    """As long as entries are good. After that a key may be asked for once too often, and nothing be refused that is good."""
    known, all_entries, position, now = Known(), [], 0, 0.0
    times = iter(pruned_at)
    for kind, subject, expire, step in said:
        position += step
        made = Revocation(position, kind, subject, 0.0, expire)
        known.add(made)
        all_entries.append(made)
        now = max(now, next(times, now))
        known.prune(now)
    alive = [one for one in all_entries if one.expire_time > now]
    for user_id in SUBJECTS:
        for revision in range(position + 2):
            is_about = [one for one in alive if one.subject_id == user_id]
            users = known.users.get(user_id, 0) > revision
            assert users >= any(one.kind is USER and one.position > revision for one in is_about)
            keys = known.api_keys.get(user_id, 0) > revision
            assert keys >= any(one.kind is API_KEY and one.position > revision for one in is_about)
            # A key that was looked up before an entry about it or its person is never taken as it was.
            outdated = any(
                one.position > revision and one.subject_id == user_id and one.kind in (USER, API_KEY, DELETED)
                for one in all_entries
            )
            deleted = user_id in known.deleted
            assert (users or keys or deleted or known.forgotten > revision) >= outdated
            assert users <= any(
                one.kind is USER and one.position > revision and one.subject_id == user_id
                for one in all_entries
            )
        assert (user_id in known.sessions) >= any(one.kind is SESSION for one in is_about)
        assert (user_id in known.deleted) >= any(one.kind is DELETED for one in is_about)
    if not alive:
        assert len(known) == 0
    assert known.position == position


@given(ENTRIES, st.integers(0, 12), st.data())
async def test_any_interleaving_of_entries_and_questions_gives_what_a_list_would(
    said: list[tuple[RevocationKind, str, float, int]], lost_after: int, data: st.DataObject
) -> None:
    world = World()
    world.feed.say(Synced(0))
    await world.cache.start()
    entries: list[Revocation] = []
    position = 0
    try:
        for number, (kind, subject, _, step) in enumerate(said):
            position += step
            entries.append(entry(position, kind, subject, at=world.wall.now))
            if number == lost_after:
                await world.loses()
                await world.hears(entries[-1], Synced(position))
            else:
                await world.hears(entries[-1])
            asked = (
                data.draw(st.sampled_from(SUBJECTS), label="person"),
                data.draw(st.sampled_from(SUBJECTS), label="session or key"),
            )
            revision = data.draw(st.integers(0, position), label="revision")
            token, key = login(*asked, revision=revision), api_key(*asked, revision=revision)
            about_person = any(
                one.subject_id == asked[0]
                and (one.kind is DELETED or (one.kind is USER and one.position > revision))
                for one in entries
            )
            ended = any(one.kind is SESSION and one.subject_id == asked[1] for one in entries)
            changed = any(
                one.kind is API_KEY and one.subject_id == asked[1] and one.position > revision
                for one in entries
            )
            assert world.cache.is_revoked(token) == (about_person or ended)
            assert world.cache.is_revoked(key) == (about_person or changed)
    finally:
        await world.cache.aclose()
