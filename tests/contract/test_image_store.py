"""The promises of Image's index on generations, images and the books."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.capabilities.generations.model import State
from services.capabilities.metering.model import Unit, UsageStatus, UsageSummary
from services.image.model import Change
from services.kernel.errors import AlreadyExists
from services.kernel.failures import Failure
from services.kernel.ids import first_id_at, new_id
from services.kernel.paging import PageRequest
from tests.fakes.image_stores import DIGEST, TTL, ImageStores, event_of, ids, images_of, new_generation

BUSY = Failure(8, "PROVIDER_RATE_LIMITED", "busy", {"model": "procedural"}, 2.5)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def test_a_request_id_is_one_call_of_its_caller(image_stores: ImageStores) -> None:
    store, request_id = image_stores.store, str(uuid.uuid4())
    first = await image_stores.started(request_id=request_id)
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
    await image_stores.started(user_id="", request_id=request_id)
    assert await store.claimed("ben", request_id, DIGEST) is None


async def test_images_are_there_with_all_that_belongs_to_them(image_stores: ImageStores) -> None:
    store = image_stores.store
    made = await image_stores.started(count=2, request_id=str(uuid.uuid4()))
    images, event = images_of(made), event_of(made)
    assert await store.images_of(made.generation_id) == []
    assert await store.complete(made.generation_id, images, event)

    found = await store.generation(made.generation_id)
    end = made.create_time + timedelta(milliseconds=1250)
    assert found == replace(made, state=State.COMPLETED, end_time=end)
    assert [await store.image(image.image_id) for image in images] == images
    assert await store.images_of(made.generation_id) == images
    assert await image_stores.waiting() == {event.event_id}
    filings = await image_stores.taken()
    assert {id_: filing.image for id_, filing in filings.items()} == dict(
        zip(ids(images), images, strict=True)
    )
    assert {filing.change for filing in filings.values()} == {Change.ADD}
    assert {filing.group for filing in filings.values()} == {f"ana/{made.create_time.date()}"}


async def test_a_generation_ends_once(image_stores: ImageStores) -> None:
    store = image_stores.store
    made = await image_stores.started()
    images, event = images_of(made), event_of(made)
    assert await store.complete(made.generation_id, images, event)
    assert await store.complete(made.generation_id, images, event), "the answer to the first attempt was lost"
    assert not await store.complete(made.generation_id, images, event_of(made))
    late = event_of(made, UsageStatus.ERROR, "GENERATION_INTERRUPTED")
    assert not await store.end(made.generation_id, State.INTERRUPTED, BUSY, late, free=True, remove=True)
    assert await image_stores.waiting() == {event.event_id}
    assert {filing.change for filing in (await image_stores.taken()).values()} == {Change.ADD}
    assert not await store.end(new_id(), State.FAILED, BUSY, None, free=True, remove=True)


async def test_what_failed_leaves_no_image_and_its_objects_are_to_go(image_stores: ImageStores) -> None:
    store, request_id = image_stores.store, str(uuid.uuid4())
    made = await image_stores.started(count=2, request_id=request_id)
    event = event_of(made, UsageStatus.ERROR, BUSY.reason)
    ending = (made.generation_id, State.FAILED, BUSY, event)
    assert await store.end(*ending, free=True, remove=True, again=2)
    assert await store.end(*ending, free=True, remove=True, again=2), "an attempt whose answer was lost"
    assert not await store.complete(made.generation_id, images_of(made), event_of(made))

    assert await store.claimed("ana", request_id, DIGEST) is None
    found = await store.generation(made.generation_id)
    assert found is not None
    assert (found.state, found.failure) == (State.FAILED, BUSY)
    assert await store.image(made.image_ids[0]) is None
    assert await image_stores.waiting() == {event.event_id}
    filings = await image_stores.taken()
    assert set(filings) == set(made.image_ids)
    for filing in filings.values():
        assert (filing.change, filing.again, filing.image) == (Change.DISCARD, 2, None)
        assert (filing.group, filing.user_id) == (f"/{filing.image_id}", "")
        assert filing.day == made.create_time.date()

    kept = await image_stores.started(request_id=request_id)
    assert await store.end(kept.generation_id, State.CANCELLED, None, None, free=False, remove=False)
    assert await store.claimed("ana", request_id, DIGEST) == kept.generation_id
    assert set(await image_stores.taken()) == set(made.image_ids)


async def test_an_image_that_was_removed_is_not_spared_as_one_that_never_was(
    image_stores: ImageStores,
) -> None:
    store = image_stores.store
    made = await image_stores.started(count=2)
    removed, kept_out = images_of(made)
    assert await store.restore([removed]) == 1, "from an index that knew more"
    assert await store.delete(removed.image_id, "ana")
    assert await store.end(made.generation_id, State.INTERRUPTED, BUSY, None, free=True, remove=True, again=1)
    filings = await image_stores.taken()
    assert (filings[removed.image_id].change, filings[removed.image_id].again) == (Change.REMOVE, 1)
    assert filings[removed.image_id].group == f"ana/{removed.day}"
    assert filings[kept_out.image_id].change is Change.DISCARD

    assert await store.restore([removed, kept_out]) == 1, "a discard keeps nothing out"
    assert await store.delete(kept_out.image_id, "ana")
    removal = (await image_stores.taken())[kept_out.image_id]
    assert (removal.change, removal.user_id) == (Change.REMOVE, "ana")
    assert removal.group == f"ana/{kept_out.day}", "its line is to go as well"


async def test_a_silent_owner_is_told_from_one_at_work(image_stores: ImageStores) -> None:
    store, mine, theirs = image_stores.store, new_id(), new_id()
    one, two = await image_stores.started(mine), await image_stores.started(theirs)
    ended = await image_stores.started(theirs)
    assert await store.end(ended.generation_id, State.FAILED, BUSY, None, free=True, remove=False)
    assert await store.silent(10) == []
    assert await store.silent(10, but=mine) == [two]
    await image_stores.pass_time(TTL * 2)
    assert await store.silent(10) == [one, two]
    assert await store.silent(1) == [one]
    await store.renew(theirs, TTL, [one.generation_id])
    await store.renew(mine, TTL, [two.generation_id])
    assert await store.silent(10) == [one, two]
    await store.renew(mine, TTL, [one.generation_id, two.generation_id])
    assert await store.silent(10) == [two]
    back = {"free": True, "remove": True, "silent": True}
    assert not await store.end(one.generation_id, State.INTERRUPTED, BUSY, None, **back)
    assert await store.end(two.generation_id, State.INTERRUPTED, BUSY, None, **back)
    assert set(await image_stores.taken()) == set(two.image_ids)


async def test_what_an_ended_call_has_left_is_discarded_once_more(image_stores: ImageStores) -> None:
    store = image_stores.store
    running, failed = await image_stores.started(), await image_stores.started()
    assert await store.end(failed.generation_id, State.FAILED, BUSY, None, free=True, remove=False)
    images = ids(await image_stores.completed())
    done = (await store.image(images[0])).generation_id  # type: ignore[union-attr]
    await image_stores.taken()
    for generation_id in (running.generation_id, failed.generation_id, done, new_id()):
        await store.discard(generation_id, 1)
    taken = await image_stores.taken()
    assert {id_: one.change for id_, one in taken.items() if one.change is Change.DISCARD} == {
        failed.image_ids[0]: Change.DISCARD
    }


async def test_images_are_listed_newest_first(image_stores: ImageStores) -> None:
    store = image_stores.store
    hers = ids([image for _ in range(2) for image in await image_stores.completed(count=2)])[::-1]
    (his,) = ids(await image_stores.completed(user_id="ben"))
    (nobodys,) = ids(await image_stores.completed(user_id=""))
    first = await store.page("ana", PageRequest(3))
    assert (ids(first.items), first.after, first.total_size) == (hers[:3], hers[2], 4)
    await image_stores.completed()  # what is new stands before all pages that were read
    second = await store.page("ana", PageRequest(3, first.after))
    assert (ids(second.items), second.after, second.total_size) == (hers[3:], None, 5)
    skipped = await store.page("ana", PageRequest(2, hers[0], 1))
    assert (ids(skipped.items), skipped.after) == (hers[2:4], None)
    everybodys = await store.page(None, PageRequest(3))
    assert ids(everybodys.items)[1:] == [nobodys, his]
    assert everybodys.total_size == 7
    nothing = await store.page("zoe", PageRequest(3))
    assert (nothing.items, nothing.after, nothing.total_size) == ([], None, 0)


async def test_an_image_is_removed_by_its_owner_and_stays_in_the_books(image_stores: ImageStores) -> None:
    store, hour = image_stores.store, timedelta(hours=1)
    image, kept = await image_stores.completed(count=2)
    span = (image.create_time - hour, image.create_time + hour)
    used = await store.summarize(*span, 10)
    added = await image_stores.taken()
    assert not await store.delete(image.image_id, "ben")
    assert await store.delete(image.image_id, "ana")
    assert not await store.delete(image.image_id, None)
    assert await store.image(image.image_id) is None
    assert await store.images_of(image.generation_id) == [kept]
    filings = await image_stores.taken()
    removal = filings[image.image_id]
    assert (removal.change, removal.group, removal.image) == (
        Change.REMOVE,
        added[image.image_id].group,
        None,
    )
    assert removal.revision > added[image.image_id].revision
    assert filings[kept.image_id] == added[kept.image_id]
    assert await store.generation(image.generation_id) is not None
    assert await store.summarize(*span, 10) == used

    await image_stores.filed()
    assert await store.delete(kept.image_id, None), "an administrator"
    assert {id_: filing.change for id_, filing in (await image_stores.taken()).items()} == {
        kept.image_id: Change.REMOVE
    }


async def test_the_index_is_made_anew_without_what_is_to_go(image_stores: ImageStores) -> None:
    store = image_stores.store
    there, gone = await image_stores.completed(count=2)
    await image_stores.filed()
    await store.delete(gone.image_id, None)
    lost = images_of(new_generation(count=2))
    assert await store.restore([there, gone, *lost]) == 2
    assert await store.restore([there, gone, *lost]) == 0
    assert await store.restore([]) == 0
    assert await store.image(gone.image_id) is None
    assert [await store.image(image.image_id) for image in lost] == lost
    assert set(await image_stores.taken()) == {gone.image_id}


async def test_what_is_forgotten_leaves_nothing_to_be_filed_and_can_come_back(
    image_stores: ImageStores,
) -> None:
    store = image_stores.store
    gone, kept = await image_stores.completed(count=2)
    assert await store.forget([gone.image_id]) == 0, "its record is still to be filed"
    await image_stores.filed()
    assert await store.forget([gone.image_id, new_id()]) == 1
    assert await store.forget([]) == 0
    assert (await store.image(gone.image_id), await store.image(kept.image_id)) == (None, kept)
    assert await store.unfiled() == 0
    assert await store.restore([gone]) == 1


async def test_images_of_nobody_expire(image_stores: ImageStores) -> None:
    store, tick = image_stores.store, timedelta(microseconds=1)
    for moment in (NOON - tick, NOON - tick, NOON):
        await image_stores.completed(user_id="", create_time=moment)
    await image_stores.completed(create_time=NOON - tick)
    await image_stores.filed()
    assert [await store.expire(NOON, 1) for _ in range(3)] == [1, 1, 0]
    left = await store.page(None, PageRequest(10))
    assert sorted((image.user_id, image.create_time) for image in left.items) == [
        ("", NOON),
        ("ana", NOON - tick),
    ]
    assert {filing.change for filing in (await image_stores.taken()).values()} == {Change.REMOVE}
    assert await store.unfiled() == 2


async def test_calls_are_forgotten_once_they_have_no_image(image_stores: ImageStores) -> None:
    store, day, request_id = image_stores.store, timedelta(days=1), str(uuid.uuid4())
    (image,) = await image_stores.completed(create_time=NOON, request_id=request_id)
    running = await image_stores.started(create_time=NOON)
    failed = [await image_stores.started(create_time=NOON + day * at) for at in (0, 0, 2)]
    for one in failed:
        await store.end(one.generation_id, State.FAILED, BUSY, None, free=True, remove=False)
    assert [await store.prune(NOON + day, day, 1) for _ in range(3)] == [1, 1, 0]
    assert await store.generation(failed[2].generation_id) is not None
    assert await store.generation(running.generation_id) == running
    await store.delete(image.image_id, None)
    await image_stores.pass_time(day * 2)
    assert await store.prune(NOON + day, day, 10) == 2, "the call and its claim"
    assert await store.claimed("ana", request_id, DIGEST) is None
    assert await store.generation(image.generation_id) is None


async def test_what_was_used_adds_up_by_person_model_and_status(image_stores: ImageStores) -> None:
    store, tick = image_stores.store, timedelta(milliseconds=1)
    for number, (user_id, count, status, moment) in enumerate(
        (
            ("ben", 1, UsageStatus.SUCCESS, NOON),
            ("ana", 2, UsageStatus.SUCCESS, NOON),
            ("ana", 3, UsageStatus.SUCCESS, NOON + tick),
            ("ana", 1, UsageStatus.ERROR, NOON),
            ("", 1, UsageStatus.SUCCESS, NOON),
            ("ana", 9, UsageStatus.SUCCESS, NOON - tick),
            ("ana", 9, UsageStatus.SUCCESS, NOON + 2 * tick),
        )
    ):
        made = await image_stores.started(user_id=user_id, count=count)
        event = event_of(made, status, event_id=f"{first_id_at(moment)[:-4]}{number:04x}")
        if status is UsageStatus.SUCCESS:
            await store.complete(made.generation_id, images_of(made), event)
        else:
            await store.end(made.generation_id, State.FAILED, BUSY, event, free=True, remove=False)
    unmetered = await image_stores.started()
    await store.complete(unmetered.generation_id, images_of(unmetered), None)

    span = (NOON, NOON + 2 * tick)
    expected = [
        UsageSummary("", "procedural", UsageStatus.SUCCESS, 1, {Unit.IMAGES: 1}),
        UsageSummary("ana", "procedural", UsageStatus.SUCCESS, 2, {Unit.IMAGES: 5}),
        UsageSummary("ana", "procedural", UsageStatus.ERROR, 1, {}),
        UsageSummary("ben", "procedural", UsageStatus.SUCCESS, 1, {Unit.IMAGES: 1}),
    ]
    assert list(await store.summarize(*span, 10)) == expected
    assert list(await store.summarize(*span, 2)) == expected[:2]
    assert await store.pending(*span) == 5

    waiting = await image_stores.waiting()
    assert len(waiting) == 7
    assert (await store.redeliver(*span, "", 10)).event_count == 0, "all of them wait already"
    await image_stores.delivered()
    assert await store.pending(*span) == 0
    first = await store.redeliver(*span, "", 3)
    second = await store.redeliver(*span, first.last_event_id, 3)
    third = await store.redeliver(*span, second.last_event_id, 3)
    assert [step.event_count for step in (first, second, third)] == [3, 2, 0]
    assert third.last_event_id == ""
    assert await image_stores.waiting() < waiting
    assert await store.pending(*span) == 5
