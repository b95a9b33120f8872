"""The promises of Speech's table on what is still to go from the object store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

from services.capabilities.generations.model import State
from services.kernel.ids import new_id
from services.speech.model import Removal
from tests.fakes.speech_stores import NOTHING, PAUSE, SpeechStores

HOUR = timedelta(hours=1)


async def test_what_an_ended_call_has_left_is_discarded_once_more(speech_stores: SpeechStores) -> None:
    store = speech_stores.store
    running, failed = await speech_stores.started(), await speech_stores.failed(remove=False)
    made = await speech_stores.completed()
    for generation_id in (running.generation_id, failed.generation_id, made.conversion_id, new_id()):
        await store.discard(generation_id, 1)
    day = failed.create_time.astimezone(UTC).date()
    assert await speech_stores.due() == {failed.generation_id: Removal(failed.generation_id, day, 1)}


async def test_removals_are_due_until_they_are_done(speech_stores: SpeechStores) -> None:
    store = speech_stores.store
    first = (await speech_stores.failed()).generation_id
    await speech_stores.pass_time(timedelta(seconds=1))
    second = (await speech_stores.failed()).generation_id
    (oldest,) = await store.due(PAUSE, 1)
    assert oldest.conversion_id == first
    (later,) = await speech_stores.other.due(PAUSE, 10)
    assert later.conversion_id == second
    assert await store.due(PAUSE, 10) == []
    assert await store.unremoved() == 2

    await store.removed([oldest], HOUR)
    await store.removed([oldest], HOUR)
    await store.removed([], HOUR)
    assert await store.unremoved() == 1
    await speech_stores.pass_time(PAUSE)
    assert await store.due(PAUSE, 10) == [later], "whoever was at it could not go on"
    await store.removed([later], HOUR)
    await speech_stores.pass_time(HOUR * 2)
    assert (await store.due(PAUSE, 10), await store.unremoved()) == ([], 0)


async def test_a_removal_is_repeated_for_who_may_still_write(speech_stores: SpeechStores) -> None:
    store = speech_stores.store
    left = (await speech_stores.failed(again=2)).generation_id
    for again in (2, 1, 0):
        removals = await store.due(PAUSE, 10)
        assert [(one.conversion_id, one.again) for one in removals] == [(left, again)]
        await store.removed(removals, HOUR)
        assert await store.due(PAUSE, 10) == []
        assert await store.unremoved() == 0, "what is done, and only repeated, is nothing to wait for"
        await speech_stores.pass_time(HOUR)
    assert await store.due(PAUSE, 10) == []


async def test_a_removal_that_two_have_done_is_done_once(speech_stores: SpeechStores) -> None:
    store = speech_stores.store
    await speech_stores.failed(again=2)
    mine = await store.due(PAUSE, 10)
    await speech_stores.pass_time(PAUSE)
    theirs = await speech_stores.other.due(PAUSE, 10)
    assert mine == theirs
    await store.removed(mine, HOUR)
    await speech_stores.other.removed(theirs, HOUR)
    await speech_stores.pass_time(HOUR)
    next_time = [replace(mine[0], again=1)]
    assert await store.due(PAUSE, 10) == next_time
    await speech_stores.other.removed(theirs, HOUR)
    await speech_stores.pass_time(PAUSE)
    assert await store.due(PAUSE, 10) == next_time, "an answer that comes late says nothing of it"


async def test_what_is_asked_for_anew_is_not_done_by_who_is_at_it(speech_stores: SpeechStores) -> None:
    store = speech_stores.store
    left = await speech_stores.failed(again=1)
    earlier = await store.due(PAUSE, 10)
    await store.discard(left.generation_id, 1)
    await store.removed(earlier, HOUR)
    assert await store.unremoved() == 1
    assert await store.due(PAUSE, 10) == earlier, "at once, and as often again"

    await store.removed(earlier, HOUR)
    await store.discard(left.generation_id, 3)
    assert await store.unremoved() == 1
    (again,) = await store.due(PAUSE, 10)
    assert again.again == 3


async def test_what_is_there_is_not_removed_for_a_call_that_lost(speech_stores: SpeechStores) -> None:
    made = await speech_stores.completed()
    ending = (made.conversion_id, State.INTERRUPTED, None, NOTHING, None)
    assert not await speech_stores.store.end(*ending, free=True, remove=True, again=1)
    await speech_stores.store.discard(made.conversion_id, 1)
    assert await speech_stores.store.unremoved() == 0
