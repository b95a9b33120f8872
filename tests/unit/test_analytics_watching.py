"""WatchUsage sends figures at once, whenever they change, and now and then as a sign of life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

import services.analytics.usecases.watch_usage as watch_module
from services.analytics.errors import TooManyWatchers
from services.analytics.model.figures import Group, Question, Sum
from services.analytics.usecases.watch_usage import Reading, Watchers, WatchUsage
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.principal import Principal
from tests.fakes.analytics_events import MILLISECOND, event
from tests.fakes.analytics_memory import MemoryUsageStore
from tests.fakes.analytics_stage import ALICE, BOB, FOR_EVER, NOW, Stage
from tests.fakes.chat_play import until

NEVER = 3600.0


class Asked(MemoryUsageStore):
    """Counts what it is asked, and by how many at once."""

    def __init__(self) -> None:
        super().__init__(event_retention=FOR_EVER)
        self.looks = self.reads = self.reading = self.most_reading = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def sums(self, question: Question, groups: Sequence[Group] | None = None) -> Sequence[Sum]:
        if question.group_by:
            self.looks += 1
            return await super().sums(question, groups)
        self.reads += 1
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        try:
            await self.gate.wait()
            return await super().sums(question, groups)
        finally:
            self.reading -= 1


@dataclass
class Watched(Stage):
    """A stage whose usage can be watched."""

    usage: Asked = field(default_factory=Asked)
    watchers: Watchers = field(init=False)
    watch: WatchUsage = field(init=False)

    def __post_init__(self) -> None:
        self.watchers = Watchers(self.usage, self.clock, 3)
        self.watch = WatchUsage(self.reckon, self.watchers, self.clock)

    async def call(self, user_id: str = "alice", at: datetime = NOW - MILLISECOND) -> None:
        await self.usage.record([event(at, user_id=user_id)])

    async def looked(self) -> None:
        """Until the watchers were looked after once more from now on."""
        after = self.usage.looks + 2
        await until(lambda: self.usage.looks >= after)


class Viewer:
    """Somebody who watches, and keeps what was sent."""

    def __init__(
        self, it: Watched, who: Principal = ALICE, start: datetime | None = None, zone: str = ""
    ) -> None:
        self.sent: list[Reading] = []
        self.task = asyncio.create_task(self._watch(it, who, start, zone))

    async def _watch(self, it: Watched, who: Principal, start: datetime | None, zone: str) -> None:
        async for reading in it.watch(who, "", start, zone):
            self.sent.append(reading)

    @property
    def counts(self) -> list[int]:
        return [reading.figures.events for reading in self.sent]

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def a_watched_stage() -> AsyncIterator[Watched]:
    it = Watched()
    run = asyncio.create_task(it.watchers.run())
    try:
        yield it
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_LOOK_SECONDS", 0.005)
    monkeypatch.setattr(watch_module, "_ALIVE_SECONDS", NEVER)


async def test_figures_are_sent_at_once_and_again_when_they_change() -> None:
    async with a_watched_stage() as it:
        await it.call()
        viewer = Viewer(it)
        await until(lambda: viewer.counts == [1])
        assert (viewer.sent[0].start, viewer.sent[0].time) == (NOW.replace(hour=0, minute=0), NOW)
        await it.call()
        await until(lambda: viewer.counts == [1, 2])
        await viewer.leave()


async def test_nothing_is_sent_while_nothing_changes() -> None:
    async with a_watched_stage() as it:
        viewer = Viewer(it)
        await until(lambda: viewer.counts == [0])
        await it.call("bob")
        await it.looked()
        assert viewer.counts == [0]
        await viewer.leave()


async def test_everybody_is_sent_their_own_figures() -> None:
    async with a_watched_stage() as it:
        alice, bob = Viewer(it, ALICE), Viewer(it, BOB)
        await until(lambda: alice.counts == bob.counts == [0])
        await it.call("bob")
        await until(lambda: bob.counts == [0, 1])
        assert alice.counts == [0]
        await alice.leave()
        await bob.leave()


async def test_a_call_is_seen_also_when_another_one_is_an_hour_old() -> None:
    # Like those of a job that runs now and then: its calls come when those of an hour ago go.
    async with a_watched_stage() as it:
        it.clock.move(minutes=7)
        for minutes in (52.5, 40, 30):
            await it.call(at=NOW - timedelta(minutes=minutes))
        viewer = Viewer(it)
        await until(lambda: viewer.counts == [3])
        await it.looked()
        for minutes in (1, 14, 15):
            it.clock.move(minutes=minutes)
            await it.call(at=it.clock.now - MILLISECOND)
            await until(lambda: viewer.counts[-1] == len(it.usage.kept))
            await it.looked()
        await viewer.leave()


async def test_the_same_figures_are_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_ALIVE_SECONDS", 0.02)
    async with a_watched_stage() as it:
        viewer = Viewer(it)
        await until(lambda: viewer.counts[:3] == [0, 0, 0])
        await viewer.leave()


async def test_what_might_have_changed_does_not_put_the_sign_of_life_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "_ALIVE_SECONDS", 0.05)
    async with a_watched_stage() as it:
        viewer = Viewer(it, start=NOW)
        await until(lambda: viewer.counts == [0])
        # Calls from before the start, which its figures do not count, come every few milliseconds.
        for _ in range(400):
            if len(viewer.sent) > 2:
                break
            await it.call()
            await asyncio.sleep(0.005)
        assert viewer.counts[:3] == [0, 0, 0]
        await viewer.leave()


async def test_today_begins_as_the_clocks_of_the_zone_say() -> None:
    async with a_watched_stage() as it:
        viewer = Viewer(it, zone="America/Lima")
        await until(lambda: viewer.sent)
        assert viewer.sent[0].start == datetime(2026, 3, 10, 5, tzinfo=UTC)
        await viewer.leave()


@pytest.mark.parametrize(
    ("start", "zone", "field"),
    [
        (NOW + MILLISECOND, "", "start_time"),
        (NOW - timedelta(days=32, milliseconds=1), "", "start_time"),
        (datetime(1, 1, 1, tzinfo=UTC), "", "start_time"),
        (datetime(9999, 12, 31, tzinfo=UTC), "", "start_time"),
        (None, "Mars/Olympus", "time_zone"),
    ],
)
async def test_what_can_not_be_watched_is_refused(start: datetime | None, zone: str, field: str) -> None:
    async with a_watched_stage() as it:
        with pytest.raises(InvalidArgument) as refused:
            await anext(it.watch(ALICE, "", start, zone))
        assert refused.value.violations[0].field == field


@pytest.mark.parametrize("start", [NOW, NOW - timedelta(days=32)])
async def test_the_last_32_days_can_be_watched(start: datetime) -> None:
    async with a_watched_stage() as it:
        viewer = Viewer(it, start=start)
        await until(lambda: viewer.sent)
        assert viewer.sent[0].start == start
        await viewer.leave()


async def test_one_watcher_too_many_is_refused_until_another_one_leaves() -> None:
    async with a_watched_stage() as it:
        viewers = [Viewer(it) for _ in range(3)]
        await until(lambda: all(viewer.sent for viewer in viewers))
        with pytest.raises(TooManyWatchers):
            await anext(it.watch(BOB, "", None, ""))
        await viewers[0].leave()
        last = Viewer(it, BOB)
        await until(lambda: last.sent)
        for viewer in (*viewers, last):
            await viewer.leave()


async def test_a_stop_ends_all_watchers_and_takes_no_more() -> None:
    async with a_watched_stage() as it:
        viewers = [Viewer(it), Viewer(it, BOB)]
        await until(lambda: all(viewer.sent for viewer in viewers))
        it.watchers.close()
        ended = await asyncio.gather(*(viewer.task for viewer in viewers), return_exceptions=True)
        assert [type(one) for one in ended] == [Unavailable, Unavailable]
        assert {one.reason for one in ended if isinstance(one, Unavailable)} == {"SHUTTING_DOWN"}
        with pytest.raises(Unavailable):
            await anext(it.watch(ALICE, "", None, ""))


async def test_who_leaves_in_the_middle_of_a_reading_makes_room() -> None:
    async with a_watched_stage() as it:
        it.usage.gate.clear()
        leaving = [Viewer(it) for _ in range(3)]
        await until(lambda: it.usage.reading == 3)
        for viewer in leaving:
            await viewer.leave()
        assert it.usage.reading == 0
        it.usage.gate.set()
        coming = [Viewer(it) for _ in range(3)]
        await until(lambda: all(viewer.sent for viewer in coming))
        for viewer in coming:
            await viewer.leave()


async def test_a_few_read_at_once_and_all_get_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_READERS", 2)
    async with a_watched_stage() as it:
        it.usage.gate.clear()
        viewers = [Viewer(it) for _ in range(3)]
        await until(lambda: it.usage.reading == 2)
        it.usage.gate.set()
        await until(lambda: all(viewer.sent for viewer in viewers))
        assert it.usage.most_reading == 2
        for viewer in viewers:
            await viewer.leave()


async def test_a_store_that_is_away_ends_the_stream_and_not_the_looking() -> None:
    async with a_watched_stage() as it:
        viewer, watcher = Viewer(it), it.watchers
        await until(lambda: viewer.sent)
        it.usage.away = True
        await it.looked()
        with watcher.watching("alice"):
            it.usage.away = False
            await it.call()
            await until(lambda: viewer.counts == [0, 1])
        it.usage.away = True
        with pytest.raises(Unavailable):
            await anext(it.watch(ALICE, "", None, ""))
        await viewer.leave()
