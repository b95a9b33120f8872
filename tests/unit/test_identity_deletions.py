"""Deletions of people are followed to their end, whatever breaks down meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.capabilities.identity import deletions
from services.capabilities.identity.deletions import DeletionFollower
from services.capabilities.identity.revocations import FeedItem, Heartbeat, Revocation, RevocationKind, Synced
from services.kernel.errors import Unavailable

SETTLE = 0.05


class Feed:
    """A source of revocations that has what a test puts in, and goes away when it is told to."""

    def __init__(self) -> None:
        self.entries: list[Revocation] = []
        self.watched: list[int | None] = []
        self.away = False
        self.position: int | None = None
        self._changed = asyncio.Event()

    def add(self, kind: RevocationKind, subject: str, *, ago: float = 0.0, position: int = 0) -> int:
        now = time.time() - ago
        last = self.entries[-1].position if self.entries else 0
        self.entries.append(Revocation(position or last + 1, kind, subject, now, now + 900))
        self.change()
        return self.entries[-1].position

    def delete(self, subject: str, *, ago: float = 0.0) -> int:
        return self.add(RevocationKind.USER_DELETED, subject, ago=ago)

    def change(self) -> None:
        self._changed.set()

    async def watch(self, after: int | None) -> AsyncIterator[FeedItem]:
        self.watched.append(after)
        if self.away:
            raise Unavailable("Auth is away")
        given = after or 0
        synced = False
        while not self.away:
            self._changed.clear()
            for entry in [entry for entry in self.entries if entry.position > given]:
                yield entry
                given = entry.position
            if not synced:
                synced = True
                last = self.entries[-1].position if self.entries else 0
                yield Synced(last if self.position is None else self.position)
            yield Heartbeat()
            await self._changed.wait()
        raise Unavailable("Auth went away")


class Made:
    """What people made, by a service that a test can break."""

    def __init__(self) -> None:
        self.at = 0
        self.removed: list[str] = []
        self.advances: list[int] = []
        self.running: set[str] = set()
        self.poison: set[str] = set()
        self.away = False
        self.tries = 0

    def _check(self) -> None:
        self.tries += 1
        if self.away:
            raise Unavailable("the database is away")

    async def position(self) -> int:
        self._check()
        return self.at

    async def advance(self, position: int) -> None:
        self._check()
        self.at = max(self.at, position)
        self.advances.append(position)

    async def restart(self) -> None:
        self._check()
        self.at = 0

    async def remove(self, user_id: str) -> bool:
        await asyncio.sleep(0)
        self._check()
        if user_id in self.poison:
            raise ValueError("no way")
        self.removed.append(user_id)
        return user_id not in self.running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("_ADVANCE_SECONDS", 0.01),
        ("_BEHIND_SECONDS", 0.01),
        ("_FIRST_PAUSE_SECONDS", 0.01),
        ("_LONGEST_PAUSE_SECONDS", 0.02),
    ):
        monkeypatch.setattr(deletions, name, value)


@pytest.fixture
async def feed() -> Feed:
    return Feed()


@pytest.fixture
def made() -> Made:
    return Made()


@contextlib.asynccontextmanager
async def following(feed: Feed, made: Made, settle: float = SETTLE) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(DeletionFollower(feed, made, settle=settle).run())
    try:
        yield task
        assert not task.done(), "the follower follows until it is cancelled"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while True:
            if condition():
                return
            await asyncio.sleep(0.002)


async def test_a_deletion_is_done_at_once_and_once_more_before_the_position_moves(
    feed: Feed, made: Made
) -> None:
    async with following(feed, made, settle=0.2):
        await until(lambda: feed.watched)
        position = feed.delete("ana")
        await until(lambda: made.removed)
        assert made.at == 0
        await until(lambda: made.at == position)
        assert made.removed == ["ana", "ana"]


async def test_a_service_that_was_away_catches_up_from_where_it_was(feed: Feed, made: Made) -> None:
    people = [f"person {number}" for number in range(50)]
    for person in people:
        feed.delete(person, ago=86_400 * 20)
    made.at = 10
    async with following(feed, made, settle=60):
        await until(lambda: made.at == 50)
    assert feed.watched == [10]
    assert made.removed == people[10:], "nobody was let in lately, so once is enough"


async def test_what_still_runs_is_asked_for_again_and_others_do_not_wait(feed: Feed, made: Made) -> None:
    made.running = {"ana"}
    async with following(feed, made):
        before = feed.add(RevocationKind.SESSION, "a session")
        feed.delete("ana")
        ben = feed.delete("ben")
        await until(lambda: made.removed.count("ben") == 2 and made.removed.count("ana") > 3)
        await until(lambda: made.at == before)
        made.running.clear()
        await until(lambda: made.at == ben)


async def test_one_person_who_cannot_be_removed_holds_up_nobody(feed: Feed, made: Made) -> None:
    made.poison = {"ana"}
    with capture_logs() as logs:
        async with following(feed, made):
            ana, ben = feed.delete("ana"), feed.delete("ben")
            await until(lambda: made.removed == ["ben", "ben"] and made.tries > 10)
            assert made.at < ana
            made.poison.clear()
            await until(lambda: made.at == ben)
    assert [entry["log_level"] for entry in logs].count("error") == 1


async def test_other_entries_are_passed_over_together(feed: Feed, made: Made) -> None:
    for number in range(500):
        feed.add(RevocationKind.SESSION, f"session {number}")
        feed.add(RevocationKind.API_KEY, f"key {number}")
    last = feed.add(RevocationKind.USER, "ana")
    async with following(feed, made):
        await until(lambda: made.at == last)
    assert made.removed == []
    assert len(made.advances) < 10


@pytest.mark.long
async def test_a_lost_source_is_told_once_and_followed_again_from_the_last_entry(
    feed: Feed, made: Made
) -> None:
    with capture_logs() as logs:
        async with following(feed, made):
            first = feed.delete("ana")
            await until(lambda: made.at == first)
            feed.away = True
            feed.change()
            await until(lambda: len(feed.watched) > 4)
            feed.away = False
            second = feed.delete("ben")
            await until(lambda: made.at == second)
    assert set(feed.watched[1:]) == {first}
    assert made.removed == ["ana", "ana", "ben", "ben"]
    assert [entry["log_level"] for entry in logs].count("error") == 1


@pytest.mark.long
async def test_a_lost_database_is_told_once_and_tried_until_it_is_back(feed: Feed, made: Made) -> None:
    made.away = True
    with capture_logs() as logs:
        async with following(feed, made):
            position = feed.delete("ana")
            await until(lambda: made.tries > 3)
            made.away = False
            await until(lambda: made.removed)
            made.away, tries = True, made.tries
            await until(lambda: made.tries > tries + 3)
            made.away = False
            await until(lambda: made.at == position)
    assert [entry["log_level"] for entry in logs].count("error") == 2


async def test_a_crash_at_any_point_leaves_nobody_out(feed: Feed, made: Made) -> None:
    people = [f"person {number}" for number in range(6)]
    for person in people:
        feed.delete(person)
    for steps in range(40):
        task = asyncio.create_task(DeletionFollower(feed, made, settle=0.0).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        seen = made.at
        assert set(people[:seen]) <= set(made.removed)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with following(feed, made):
        await until(lambda: made.at == len(people))
    assert set(made.removed) == set(people)


async def test_a_feed_that_was_restored_from_a_backup_is_followed_anew(feed: Feed, made: Made) -> None:
    made.at = 90
    first = feed.delete("ana", ago=86_400)
    with capture_logs() as logs:
        async with following(feed, made):
            await until(lambda: made.at == first)
            assert made.removed == ["ana"]
            second = feed.delete("ben")
            await until(lambda: made.at == second)
    assert feed.watched == [90, 90, 0]
    assert any(entry["log_level"] == "warning" for entry in logs)


async def test_a_replica_of_the_source_that_lags_for_a_moment_changes_nothing(feed: Feed, made: Made) -> None:
    feed.entries = [Revocation(90, RevocationKind.SESSION, "a session", 0.0, 0.0)]
    made.at, feed.position = 90, 89

    async with following(feed, made):
        await until(lambda: feed.watched)
        feed.position = None
        await until(lambda: len(feed.watched) == 2)
        position = feed.delete("ana")
        await until(lambda: made.at == position)
    assert feed.watched == [90, 90]


async def test_a_silent_source_is_taken_for_lost(
    feed: Feed, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletions, "_SILENCE_SECONDS", 0.05)
    async with following(feed, made):
        await until(lambda: len(feed.watched) > 2)


async def test_what_is_pending_is_bounded(feed: Feed, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "_MOST_PENDING", 4)
    people = [f"person {number}" for number in range(20)]
    for person in people:
        feed.delete(person)
    async with following(feed, made):
        await until(lambda: len(made.removed) == 4)
        assert made.at == 0
        await until(lambda: made.at == 20)
    assert made.removed.count("person 19") == 2


async def test_two_processes_follow_for_one_service(feed: Feed, made: Made) -> None:
    async with following(feed, made), following(feed, made):
        position = feed.delete("ana")
        await until(lambda: made.at == position)
