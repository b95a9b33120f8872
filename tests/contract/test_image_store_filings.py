"""The promises of Image's index on what is to be filed, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.image.model import Change, State
from services.kernel.ids import new_id
from tests.fakes.image_stores import TTL, ImageStores, ids

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_a_group_is_one_process_s_until_it_leaves_or_is_silent(image_stores: ImageStores) -> None:
    one, two, mine, theirs = image_stores.store, image_stores.other, new_id(), new_id()
    hers = await image_stores.completed(create_time=NOON)
    taken = await one.take(mine, TTL)
    assert [filing.image_id for filing in taken] == ids(hers)
    later = await image_stores.completed(create_time=NOON)
    his = await image_stores.completed(user_id="ben", create_time=NOON)
    group = taken[0].group
    assert [filing.image_id for filing in await two.take(theirs, TTL)] == ids(his)
    assert await two.take(theirs, TTL, group) == []
    assert await one.take(mine, TTL, group) == [], "nor another task of the same process"
    assert await two.waits(group)

    await two.leave(theirs, [group])  # not theirs to leave
    assert await two.take(theirs, TTL, group) == []
    await one.leave(mine, [group])
    assert {filing.image_id for filing in await two.take(theirs, TTL)} == {*ids(hers), *ids(later)}
    await image_stores.pass_time(TTL * 2)
    assert len(await one.take(mine, TTL, group)) == 2


async def test_what_is_done_is_forgotten_and_what_failed_waits(image_stores: ImageStores) -> None:
    store, owner_id = image_stores.store, new_id()
    (image,) = await image_stores.completed(user_id="")
    (filing,) = await store.take(owner_id, TTL)
    assert filing.group == f"/{image.image_id}"
    await store.failed(owner_id, [filing], HOUR)
    await store.leave(owner_id, [filing.group])
    assert await store.take(owner_id, TTL) == []
    assert (await store.unfiled(), await store.waits(filing.group)) == (1, True)
    (named,) = await store.take(owner_id, TTL, filing.group)
    assert (named.attempts, named.image) == (1, image), "with its name it is given though it is not due"
    await store.leave(owner_id, [filing.group])
    await image_stores.pass_time(HOUR)
    (again,) = await store.take(owner_id, TTL)
    await store.filed(owner_id, [again], HOUR)
    await store.filed(owner_id, [again], HOUR)
    await store.leave(owner_id, [filing.group])
    assert (await store.unfiled(), await store.waits(filing.group)) == (0, False)
    assert await store.take(owner_id, TTL, filing.group) == []


async def test_the_oldest_come_first_and_groups_are_whole(image_stores: ImageStores) -> None:
    store, owner_id = image_stores.store, new_id()
    made = []
    for user_id in ("ana", "ben", "ana", "eva"):
        made += ids(await image_stores.completed(user_id=user_id, create_time=NOON))
        await image_stores.pass_time(timedelta(seconds=1))
    taken = await store.take(owner_id, TTL, limit=2)
    assert [filing.image_id for filing in taken] == made[:2]
    await store.filed(owner_id, taken, HOUR)
    await store.leave(owner_id, [filing.group for filing in taken])
    rest = await store.take(owner_id, TTL, limit=1)
    assert [filing.image_id for filing in rest] == made[2:3]
    assert [filing.image_id for filing in await store.take(owner_id, TTL)] == made[3:]


async def test_a_removal_is_repeated_as_often_as_was_asked(image_stores: ImageStores) -> None:
    store, owner_id = image_stores.store, new_id()
    made = await image_stores.started()
    await store.end(made.generation_id, State.INTERRUPTED, None, None, free=True, remove=True, again=2)
    for left in (2, 1, 0):
        (filing,) = (await image_stores.taken()).values()
        assert (filing.again, filing.attempts) == (left, 0)
        for _ in range(2):  # the answer to the first attempt may be lost
            await store.filed(owner_id, [filing], HOUR)
        assert await image_stores.taken() == {}
        await image_stores.pass_time(HOUR)
    assert await store.unfiled() == 0


async def test_a_removal_that_came_meanwhile_is_still_to_be_done(image_stores: ImageStores) -> None:
    store, owner_id = image_stores.store, new_id()
    (image,) = await image_stores.completed()
    (added,) = await store.take(owner_id, TTL)
    await image_stores.other.delete(image.image_id, None)
    await store.filed(owner_id, [added], HOUR)
    await store.failed(owner_id, [added], HOUR)
    await store.leave(owner_id, [added.group])
    (removal,) = (await image_stores.taken()).values()
    assert (removal.change, removal.attempts) == (Change.REMOVE, 0)


async def test_whoever_adds_late_what_was_removed_has_it_removed_again(image_stores: ImageStores) -> None:
    store, late, owner_id = image_stores.store, new_id(), new_id()
    (image,) = await image_stores.completed()
    (added,) = await store.take(late, TTL)
    await store.delete(image.image_id, None)
    await image_stores.pass_time(TTL * 2)  # `late` was paused
    (removal,) = await store.take(owner_id, TTL)
    # Its removal may be going on just when it is added, or be done already.
    await store.filed(late, [added], HOUR)
    await store.filed(owner_id, [removal], HOUR)
    await store.leave(owner_id, [removal.group])
    assert {filing.change for filing in (await image_stores.taken()).values()} == {Change.REMOVE}
    await image_stores.filed()
    assert await store.unfiled() == 0
    await store.filed(late, [added], HOUR)
    (repeated,) = (await image_stores.taken()).values()
    assert (repeated.change, repeated.group, repeated.day) == (Change.REMOVE, added.group, added.day)
    assert repeated.user_id == "ana"


async def test_an_image_that_two_have_added_stays(image_stores: ImageStores) -> None:
    store, late, owner_id = image_stores.store, new_id(), new_id()
    (image,) = await image_stores.completed()
    (added,) = await store.take(late, TTL)
    await image_stores.pass_time(TTL * 2)
    (again,) = await store.take(owner_id, TTL)
    await store.filed(owner_id, [again], HOUR)
    await store.filed(late, [added], HOUR)
    assert await store.unfiled() == 0
    assert await store.image(image.image_id) == image
