"""A flush that was given up leaves no hole in the record, whatever else happens to its generation."""

from __future__ import annotations

import asyncio

import pytest

import services.chat.generation.writer as writer_module
from services.capabilities.metering.model import UsageEvent
from services.chat.model import Ending, Event, Generation, Lease, State
from services.chat.ports import Flush
from services.kernel.errors import InvalidArgument, ServiceError, Unavailable
from tests.fakes.chat_play import ALICE, Chat, SlowStore, Viewer, a_call, chat, is_dense, until
from tests.fakes.chat_records import begun, new_generation, text


class Flaky(SlowStore):
    """Refuses so many appends, as a database does that is away and back."""

    failures = 0

    async def append(self, lease: Lease, flushes: list[Flush]) -> set[str]:  # type: ignore[override]
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        return await super().append(lease, flushes)


async def lost(it: Chat, store: Flaky, *, cancelled: bool) -> list[Event]:
    """A generation whose second word could not be stored, while its third one waited behind it."""
    id_ = await it.begin()
    play = it.play
    play.say("one ")
    await it.durable(id_, 2)
    store.failures = 2
    play.say("TWO ")
    await until(lambda: store.failures < 2)
    play.say("three ")
    if cancelled:
        it.generations.cancel_soon(id_)
    generation = await it.ended(id_)
    assert generation.state is State.INTERRUPTED
    events = list(await store.events(id_, 0, 100))
    assert generation.text == "one "
    assert generation.last_seq == events[-1].seq
    return events


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_comes_behind_a_flush_that_was_given_up_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_SECONDS", (0.05,))
    store = Flaky()
    async with chat(store) as it:
        events = await lost(it, store, cancelled=cancelled)
        assert is_dense(events)
        assert [usage.error_reason for usage in store.usage] == ["GENERATION_INTERRUPTED"]
    assert it.generations.live(ALICE.user_id) is None


class Refusing(SlowStore):
    """Takes no end of some generations, and never will; of others none that has content."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.too_much: set[str] = set()
        self.offers = 0

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        id_ = generation.generation_id
        if id_ in self.refused or (id_ in self.too_much and (ending.message or ending.last_events)):
            self.offers += 1
            raise InvalidArgument("no store takes this")
        return await super().finish(lease, generation, ending, usage_event)


async def test_an_end_that_no_store_takes_is_told_and_not_offered_for_ever() -> None:
    store = Refusing()
    async with chat(store) as it:
        id_ = await it.begin()
        store.refused.add(id_)
        live = it.generations.live(id_)
        assert live is not None
        it.play.say("one ")
        await it.durable(id_, 2)
        it.generations.cancel_soon(id_)
        await until(lambda: it.generations.live(id_) is None)
        assert live.ending is not None
        assert live.ending.failure is not None
        assert live.ending.failure.reason == "INTERNAL"


async def test_an_orphan_that_can_not_be_ended_keeps_no_other_from_its_end() -> None:
    store = Refusing()
    async with chat(store) as it:
        news = [new_generation() for _ in range(3)]
        for new in news:
            assert await store.begin(it.keeper.lease, new) is None
        bad, *good = (new.generation.generation_id for new in news)
        store.refused.add(bad)
        for _ in range(4):
            await it.generations.end_orphans()
        # With its content and without, and never again.
        assert store.offers == 2
        assert {await store.state(id_) for id_ in good} == {State.INTERRUPTED}
        assert await store.state(bad) is State.RUNNING


async def test_what_can_not_be_recorded_with_its_content_ends_without() -> None:
    store = Refusing()
    async with chat(store) as it:
        id_ = await it.begin()
        it.play.say("one ")
        await it.durable(id_, 2)
        store.too_much.add(id_)
        it.play.finish()
        stored = await it.ended(id_)
        assert (stored.state, stored.text, stored.last_seq) == (State.FAILED, "", 2)
        assert len(store.usage) == 1
        # The same of one that was left by a process that died.
        new = new_generation()
        left = new.generation.generation_id
        lease = await begun(store, new)
        await store.append(lease, [Flush(left, [text(2, 2, "half")])])
        store.too_much.add(left)
        await store.release(lease)
        await it.keeper.take_over(it.generations)
        assert (await it.stored(left)).state is State.INTERRUPTED


async def test_events_that_can_not_be_made_end_their_generation_and_not_the_writer() -> None:
    async with chat() as it:
        bad, good = await it.begin(), await it.begin()
        live = it.generations.live(bad)
        assert live is not None
        live._pending.append(None)  # type: ignore[arg-type]
        it.writer.mark(live)
        it.provider.plays[1].say("whole")
        await it.durable(good, 2)
        assert (await it.ended(bad)).state is State.INTERRUPTED


async def test_an_end_that_can_not_be_made_is_told_and_recorded() -> None:
    async with chat() as it:
        id_ = await it.begin()
        viewer = Viewer(it, id_)
        await until(lambda: viewer.events)
        live = it.generations.live(id_)
        assert live is not None
        live._pending.append(None)  # type: ignore[arg-type]
        it.play.finish()
        with pytest.raises(ServiceError):
            await asyncio.wait_for(viewer.task, 3)
        assert (await it.ended(id_)).state is State.FAILED


async def test_what_begins_behind_the_end_of_all_others_is_left_to_a_take_over() -> None:
    store = SlowStore()
    async with chat(store) as it:
        for left in (False, True):
            it.store.begin_gate.clear()
            starting = asyncio.create_task(it.start(ALICE, a_call(), None))
            await asyncio.sleep(0.01)
            if left:
                starting.cancel()
                await asyncio.sleep(0)
            await it.generations.close()
            it.store.begin_gate.set()
            with pytest.raises(asyncio.CancelledError if left else Unavailable):
                await starting
            await until(lambda: not it.start._beginning)
        assert not len(it.generations)
        assert not it.generations._tasks
        assert len(await store.running(it.keeper.lease)) == 2
