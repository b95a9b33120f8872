"""The promises of Speech's table on generations, conversions and the books."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.capabilities.generations.model import State
from services.capabilities.metering.model import Unit, UsageStatus, UsageSummary
from services.kernel.errors import AlreadyExists
from services.kernel.failures import Failure
from services.kernel.ids import first_id_at, new_id
from services.kernel.paging import PageRequest
from services.speech.model import Format, Removal, Used
from tests.fakes.speech_stores import (
    DIGEST,
    NOTHING,
    TTL,
    USED,
    SpeechStores,
    conversion_of,
    event_of,
    ids,
    new_generation,
)

BUSY = Failure(8, "PROVIDER_RATE_LIMITED", "busy", {"model": "espeak-ng"}, 2.5)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def test_a_request_id_is_one_call_of_its_caller(speech_stores: SpeechStores) -> None:
    store, request_id = speech_stores.store, str(uuid.uuid4())
    first = await speech_stores.started(request_id=request_id)
    for _ in range(2):  # also when the answer to the first attempt was lost
        assert await store.begin(new_id(), TTL, first, DIGEST) is None
    again = new_generation(request_id=request_id)
    assert await store.begin(new_id(), TTL, again, DIGEST) == first.generation_id
    assert await store.generation(again.generation_id) is None
    assert await store.generation(first.generation_id) == first
    assert await store.claimed("ana", request_id, DIGEST) == first.generation_id
    for attempt in (
        store.begin(new_id(), TTL, again, bytes(31) + b"!"),
        store.claimed("ana", request_id, bytes(31) + b"!"),
    ):
        with pytest.raises(AlreadyExists) as refused:
            await attempt
        assert refused.value.reason == "REQUEST_ID_REUSED"
    nobodys = await speech_stores.started(user_id="", request_id=request_id)
    assert await store.claimed("anonymous", request_id, DIGEST) == nobodys.generation_id
    assert await store.claimed("ben", request_id, DIGEST) is None


@pytest.mark.parametrize("user_id", ["ana", ""])
async def test_a_conversion_is_there_with_all_that_belongs_to_it(
    speech_stores: SpeechStores, user_id: str
) -> None:
    store = speech_stores.store
    made = await speech_stores.started(user_id=user_id, request_id=str(uuid.uuid4()))
    conversion, event = conversion_of(made), event_of(made)
    assert await store.conversion(made.generation_id) is None
    assert await store.complete(conversion, USED, event)

    found = await store.generation(made.generation_id)
    end = made.create_time + timedelta(milliseconds=1250)
    assert found == replace(made, state=State.COMPLETED, end_time=end)
    assert await store.conversion(made.generation_id) == conversion
    assert await speech_stores.waiting() == {event.event_id}
    assert await speech_stores.due() == {}


async def test_what_is_not_known_of_a_conversion_is_not_there(speech_stores: SpeechStores) -> None:
    made = await speech_stores.started(user_id="")
    order = replace(made.order, format=Format.WAV)
    bare = replace(conversion_of(replace(made, order=order)), ssml="", s3_bucket="", cost_usd=None)
    assert await speech_stores.store.complete(bare, NOTHING, None)
    assert await speech_stores.store.conversion(made.generation_id) == bare


async def test_a_generation_ends_once(speech_stores: SpeechStores) -> None:
    store = speech_stores.store
    made = await speech_stores.started()
    conversion, event = conversion_of(made), event_of(made)
    assert await store.complete(conversion, USED, event)
    assert await store.complete(conversion, USED, event), "the answer to the first attempt was lost"
    assert not await store.complete(conversion, USED, event_of(made))
    late = event_of(made, UsageStatus.ERROR, "GENERATION_INTERRUPTED")
    ending = (made.generation_id, State.INTERRUPTED, BUSY, USED, late)
    assert not await store.end(*ending, free=True, remove=True)
    assert await speech_stores.waiting() == {event.event_id}
    assert await speech_stores.due() == {}
    assert not await store.end(new_id(), State.FAILED, BUSY, NOTHING, None, free=True, remove=True)


async def test_what_failed_leaves_no_conversion_and_its_objects_are_to_go(
    speech_stores: SpeechStores,
) -> None:
    store, request_id = speech_stores.store, str(uuid.uuid4())
    late_that_day = datetime(2026, 5, 4, 23, 30, tzinfo=UTC).astimezone()
    made = await speech_stores.started(request_id=request_id, create_time=late_that_day)
    event = event_of(made, UsageStatus.ERROR, BUSY.reason)
    ending = (made.generation_id, State.FAILED, BUSY, USED, event)
    assert await store.end(*ending, free=True, remove=True, again=2)
    assert await store.end(*ending, free=True, remove=True, again=2), "an attempt whose answer was lost"
    assert not await store.complete(conversion_of(made), USED, event_of(made))

    assert await store.claimed("ana", request_id, DIGEST) is None
    found = await store.generation(made.generation_id)
    assert found is not None
    assert (found.state, found.failure) == (State.FAILED, BUSY)
    assert await store.conversion(made.generation_id) is None
    assert await speech_stores.waiting() == {event.event_id}
    expected = Removal(made.generation_id, NOON.date(), 2)
    assert await speech_stores.due() == {made.generation_id: expected}

    kept = await speech_stores.started(request_id=request_id)
    end = (kept.generation_id, State.CANCELLED, None, NOTHING, None)
    assert await store.end(*end, free=False, remove=False)
    assert await store.claimed("ana", request_id, DIGEST) == kept.generation_id
    assert await speech_stores.due() == {}


async def test_a_silent_owner_is_told_from_one_at_work(speech_stores: SpeechStores) -> None:
    store, mine, theirs = speech_stores.store, new_id(), new_id()
    one, two = await speech_stores.started(mine), await speech_stores.started(theirs)
    await speech_stores.failed(remove=False)
    assert await store.silent(10) == []
    assert await store.silent(10, but=mine) == [two]
    await speech_stores.pass_time(TTL * 2)
    assert await store.silent(10) == [one, two]
    assert await store.silent(1) == [one]
    await store.renew(theirs, TTL, [one.generation_id])
    await store.renew(mine, TTL, [two.generation_id])
    assert await store.silent(10) == [one, two]
    await store.renew(mine, TTL, [one.generation_id, two.generation_id])
    assert await store.silent(10) == [two]
    back = {"free": True, "remove": True, "silent": True}
    assert not await store.end(one.generation_id, State.INTERRUPTED, BUSY, NOTHING, None, **back)
    assert await store.end(two.generation_id, State.INTERRUPTED, BUSY, NOTHING, None, **back)
    assert set(await speech_stores.due()) == {two.generation_id}


async def test_conversions_are_listed_newest_first(speech_stores: SpeechStores) -> None:
    store = speech_stores.store
    hers = ids([await speech_stores.completed() for _ in range(4)])[::-1]
    his = (await speech_stores.completed(user_id="ben")).conversion_id
    nobodys = (await speech_stores.completed(user_id="")).conversion_id
    first = await store.page("ana", PageRequest(3))
    assert (ids(first.items), first.after, first.total_size) == (hers[:3], hers[2], 4)
    await speech_stores.completed()  # what is new stands before all pages that were read
    second = await store.page("ana", PageRequest(3, first.after))
    assert (ids(second.items), second.after, second.total_size) == (hers[3:], None, 5)
    skipped = await store.page("ana", PageRequest(2, hers[0], 1))
    assert (ids(skipped.items), skipped.after) == (hers[2:4], None)
    everybodys = await store.page(None, PageRequest(3))
    assert ids(everybodys.items)[1:] == [nobodys, his]
    assert everybodys.total_size == 7
    nothing = await store.page("zoe", PageRequest(3))
    assert (nothing.items, nothing.after, nothing.total_size) == ([], None, 0)


async def test_a_page_has_no_more_than_an_answer_has_room_for(speech_stores: SpeechStores) -> None:
    mebibyte = 1024 * 1024 - 100
    sizes = (1, 4, 1, 1, 1, 1)
    made = ids([await speech_stores.completed("é" * (mebibyte * size // 2)) for size in sizes])[::-1]
    pages, after = [], None
    for _ in range(4):
        page = await speech_stores.store.page("ana", PageRequest(10, after))
        after = page.after
        pages.append(ids(page.items))
    assert pages == [made[:3], made[3:4], made[4:5], made[5:]]
    assert after is None


async def test_a_conversion_is_deleted_by_its_owner_and_stays_in_the_books(
    speech_stores: SpeechStores,
) -> None:
    store, hour = speech_stores.store, timedelta(hours=1)
    gone, kept = await speech_stores.completed(), await speech_stores.completed()
    span = (gone.create_time - hour, gone.create_time + hour)
    used = await store.summarize(*span, 10)
    for another in ("ben", "", "anonymous"):
        assert not await store.delete(gone.conversion_id, another)
    assert await store.delete(gone.conversion_id, "ana")
    assert not await store.delete(gone.conversion_id, None)
    assert await store.conversion(gone.conversion_id) is None
    assert await store.conversion(kept.conversion_id) == kept
    assert await speech_stores.due() == {gone.conversion_id: Removal(gone.conversion_id, gone.day)}
    assert await store.generation(gone.conversion_id) is not None
    assert await store.summarize(*span, 10) == used
    assert await store.delete(kept.conversion_id, None), "an administrator"
    assert set(await speech_stores.due()) == {kept.conversion_id}


async def test_conversions_of_nobody_expire(speech_stores: SpeechStores) -> None:
    store, tick = speech_stores.store, timedelta(microseconds=1)
    old = [await speech_stores.completed(user_id="", create_time=NOON - tick) for _ in range(2)]
    await speech_stores.completed(user_id="", create_time=NOON)
    await speech_stores.completed(create_time=NOON - tick)
    assert [await store.expire(NOON, 1) for _ in range(3)] == [1, 1, 0]
    left = await store.page(None, PageRequest(10))
    assert sorted((one.user_id, one.create_time) for one in left.items) == [("", NOON), ("ana", NOON - tick)]
    assert set(await speech_stores.due()) == set(ids(old))


async def test_calls_are_forgotten_once_they_have_no_conversion(speech_stores: SpeechStores) -> None:
    store, day, request_id = speech_stores.store, timedelta(days=1), str(uuid.uuid4())
    made = await speech_stores.completed(create_time=NOON, request_id=request_id)
    running = await speech_stores.started(create_time=NOON)
    failed = [await speech_stores.started(create_time=NOON + day * at) for at in (0, 0, 2)]
    for one in failed:
        await store.end(one.generation_id, State.FAILED, BUSY, NOTHING, None, free=True, remove=False)
    assert [await store.prune(NOON + day, day, 1) for _ in range(3)] == [1, 1, 0]
    assert await store.generation(failed[2].generation_id) is not None
    assert await store.generation(running.generation_id) == running
    await store.delete(made.conversion_id, None)
    await speech_stores.pass_time(day * 2)
    assert await store.prune(NOON + day, day, 10) == 2, "the call and its claim"
    assert await store.claimed("ana", request_id, DIGEST) is None
    assert await store.generation(made.conversion_id) is None


async def test_what_was_used_adds_up_by_person_model_and_status(speech_stores: SpeechStores) -> None:
    store, tick = speech_stores.store, timedelta(milliseconds=1)
    for number, (user_id, used, status, moment) in enumerate(
        (
            ("ben", Used(1, 10), UsageStatus.SUCCESS, NOON),
            ("ana", Used(2, 20), UsageStatus.SUCCESS, NOON),
            ("ana", Used(3, 30), UsageStatus.SUCCESS, NOON + tick),
            ("ana", Used(4, 0), UsageStatus.CANCELLED, NOON),
            ("", Used(), UsageStatus.ERROR, NOON),
            ("ana", Used(9, 9), UsageStatus.SUCCESS, NOON - tick),
            ("ana", Used(9, 9), UsageStatus.SUCCESS, NOON + 2 * tick),
        )
    ):
        made = await speech_stores.started(user_id=user_id)
        event = event_of(made, status, "", used, event_id=f"{first_id_at(moment)[:-4]}{number:04x}")
        if status is UsageStatus.SUCCESS:
            await store.complete(conversion_of(made), used, event)
        else:
            await store.end(made.generation_id, State.FAILED, BUSY, used, event, free=True, remove=False)
    unmetered = await speech_stores.started()
    await store.complete(conversion_of(unmetered), USED, None)

    span = (NOON, NOON + 2 * tick)
    characters, milliseconds = Unit.CHARACTERS, Unit.AUDIO_MILLISECONDS
    expected = [
        UsageSummary("", "espeak-ng", UsageStatus.ERROR, 1, {}),
        UsageSummary("ana", "espeak-ng", UsageStatus.SUCCESS, 2, {characters: 5, milliseconds: 50}),
        UsageSummary("ana", "espeak-ng", UsageStatus.CANCELLED, 1, {characters: 4}),
        UsageSummary("ben", "espeak-ng", UsageStatus.SUCCESS, 1, {characters: 1, milliseconds: 10}),
    ]
    assert list(await store.summarize(*span, 10)) == expected
    assert list(await store.summarize(*span, 2)) == expected[:2]
    assert await store.pending(*span) == 5

    waiting = await speech_stores.waiting()
    assert len(waiting) == 7
    assert (await store.redeliver(*span, "", 10)).event_count == 0, "all of them wait already"
    await speech_stores.delivered()
    assert await store.pending(*span) == 0
    first = await store.redeliver(*span, "", 3)
    second = await store.redeliver(*span, first.last_event_id, 3)
    third = await store.redeliver(*span, second.last_event_id, 3)
    assert [step.event_count for step in (first, second, third)] == [3, 2, 0]
    assert third.last_event_id == ""
    assert await speech_stores.waiting() < waiting
    assert await store.pending(*span) == 5
