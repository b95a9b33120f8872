"""The promises of Image's index on what is to be filed, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.capabilities.generations.model import State
from services.image.model import Change
from services.kernel.ids import new_id
from tests.fakes.image_stores import TTL, ImageStores, ids

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_a_group_has_one_lease_until_it_is_left_or_over(image_stores: ImageStores) -> None:
    one, two, mine, theirs = image_stores.store, image_stores.other, new_id(), new_id()
    hers = await image_stores.completed(create_time=NOON)
    taken = await one.take(mine, TTL)
    assert [filing.image_id for filing in taken] == ids(hers)
    later = await image_stores.completed(create_time=NOON)
    his = await image_stores.completed(user_id="ben", create_time=NOON)
    group = taken[0].group
    assert [filing.image_id for filing in await two.take(theirs, TTL)] == ids(his)
    assert await two.take(theirs, TTL, group) == []
    assert await one.take(new_id(), TTL, group) == [], "nor another task of the same process"
    assert await two.waits(group)

    await two.leave(theirs, [group])  # not theirs to leave
    assert await two.take(theirs, TTL, group) == []
    await one.leave(mine, [group])
    assert {filing.image_id for filing in await two.take(theirs, TTL)} == {*ids(hers), *ids(later)}
    await image_stores.pass_time(TTL * 2)
    assert len(await one.take(mine, TTL, group)) == 2
    await two.leave(theirs, [group])  # which was over
    assert await two.take(new_id(), TTL, group) == []


async def test_what_is_done_is_forgotten_and_what_failed_waits(image_stores: ImageStores) -> None:
    store, lease_id = image_stores.store, new_id()
    (image,) = await image_stores.completed(user_id="")
    (filing,) = await store.take(lease_id, TTL)
    assert filing.group == f"/{image.image_id}"
    await store.failed([filing], HOUR)
    await store.leave(lease_id, [filing.group])
    assert await store.take(lease_id, TTL) == []
    assert (await store.unfiled(), await store.waits(filing.group)) == (1, True)
    (named,) = await store.take(lease_id, TTL, filing.group)
    assert (named.attempts, named.image) == (1, image), "with its name it is given though it is not due"
    await store.leave(lease_id, [filing.group])
    await image_stores.pass_time(HOUR)
    (again,) = await store.take(lease_id, TTL)
    await store.filed([again], HOUR)
    await store.filed([again], HOUR)
    await store.leave(lease_id, [filing.group])
    assert (await store.unfiled(), await store.waits(filing.group)) == (0, False)
    assert await store.take(lease_id, TTL, filing.group) == []


async def test_the_oldest_come_first_and_groups_are_whole(image_stores: ImageStores) -> None:
    store, lease_id = image_stores.store, new_id()
    made = []
    for user_id in ("ana", "ben", "ana", "eva"):
        made += ids(await image_stores.completed(user_id=user_id, create_time=NOON))
        await image_stores.pass_time(timedelta(seconds=1))
    taken = await store.take(lease_id, TTL, limit=2)
    assert [filing.image_id for filing in taken] == made[:2]
    await store.filed(taken, HOUR)
    await store.leave(lease_id, [filing.group for filing in taken])
    rest = await store.take(lease_id, TTL, limit=1)
    assert [filing.image_id for filing in rest] == made[2:3]
    assert [filing.image_id for filing in await store.take(lease_id, TTL)] == made[3:]


async def test_a_removal_is_repeated_as_often_as_was_asked(image_stores: ImageStores) -> None:
    store = image_stores.store
    made = await image_stores.started()
    await store.end(made.generation_id, State.INTERRUPTED, None, None, free=True, remove=True, again=2)
    for left in (2, 1, 0):
        (filing,) = (await image_stores.taken()).values()
        assert (filing.again, filing.attempts) == (left, 0)
        for _ in range(2):  # the answer to the first attempt may be lost
            await store.filed([filing], HOUR)
        assert await image_stores.taken() == {}
        await image_stores.pass_time(HOUR)
    assert await store.unfiled() == 0


async def test_a_removal_that_came_meanwhile_is_still_to_be_done(image_stores: ImageStores) -> None:
    store, lease_id = image_stores.store, new_id()
    (image,) = await image_stores.completed()
    (added,) = await store.take(lease_id, TTL)
    await image_stores.other.delete(image.image_id, None)
    await store.filed([added], HOUR)
    await store.failed([added], HOUR)
    await store.leave(lease_id, [added.group])
    (removal,) = (await image_stores.taken()).values()
    assert (removal.change, removal.attempts) == (Change.REMOVE, 0)


async def test_whoever_adds_late_what_was_removed_has_it_removed_again(image_stores: ImageStores) -> None:
    store, late, lease_id = image_stores.store, new_id(), new_id()
    (image,) = await image_stores.completed()
    (added,) = await store.take(late, TTL)
    await store.delete(image.image_id, None)
    await image_stores.pass_time(TTL * 2)  # `late` was paused
    (removal,) = await store.take(lease_id, TTL)
    # Its removal may be going on just when it is added, or be done already.
    await store.filed([added], HOUR)
    await store.filed([removal], HOUR)
    await store.leave(lease_id, [removal.group])
    assert {filing.change for filing in (await image_stores.taken()).values()} == {Change.REMOVE}
    await image_stores.filed()
    assert await store.unfiled() == 0
    await store.filed([added], HOUR)
    (repeated,) = (await image_stores.taken()).values()
    assert (repeated.change, repeated.group, repeated.day) == (Change.REMOVE, added.group, added.day)
    assert repeated.user_id == "ana"


async def test_an_image_that_two_have_added_stays(image_stores: ImageStores) -> None:
    store, late, lease_id = image_stores.store, new_id(), new_id()
    (image,) = await image_stores.completed()
    (added,) = await store.take(late, TTL)
    await image_stores.pass_time(TTL * 2)
    (again,) = await store.take(lease_id, TTL)
    await store.filed([again], HOUR)
    await store.filed([added], HOUR)
    assert await store.unfiled() == 0
    assert await store.image(image.image_id) == image
