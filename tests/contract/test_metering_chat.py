"""The usage events of Chat's generations: from their ends into the outbox, out of it, and into it once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from antiphon.usage.v1 import usage_pb2

from services.capabilities.metering.model import Redelivered
from services.capabilities.metering.ports import Waiting
from services.chat.generation.endings import usage_event_of
from services.chat.model import Ending, Session
from services.kernel.ids import new_id
from tests.fakes.chat_records import completed, failed
from tests.fakes.chat_stores import ChatStores
from tests.fakes.metering_memory import usage_event, waiting

OWNER = new_id()
MUCH = 10**9
ALWAYS = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(days=1)


async def made(
    stores: ChatStores,
    user_id: str = "",
    session: Session | None = None,
    *,
    fails: bool = False,
    first_token: bool = True,
) -> str:
    """A generation that has ended; the id of its event."""
    lease, new = await stores.started(user_id, session, request_id=new_id(), digest=bytes(32))
    ending: Ending = failed(1, free_claim=True) if fails else completed(new, 2, "sure")
    ending = replace(ending, model="another", provider="somebody")
    created = new.generation.create_time
    event = usage_event_of(
        new.generation, ending, created + timedelta(microseconds=123_457) if first_token else None
    )
    assert await stores.records.finish(lease, new.generation, ending, event)
    return event.event_id


async def waits(stores: ChatStores) -> Sequence[Waiting]:
    return await stores.outbox.take(OWNER, 1000, MUCH)


async def shipped(stores: ChatStores) -> Sequence[Waiting]:
    """What waited, which was delivered now."""
    found = await waits(stores)
    await stores.outbox.remove([event.event_id for event in found])
    assert not await waits(stores)
    return found


async def redelivered(stores: ChatStores, limit: int = 100) -> int:
    """All there is, in steps."""
    count, after = 0, ""
    while True:
        step = await stores.records.redeliver(*ALWAYS, after, limit)
        if not step.last_event_id:
            return count
        assert step.last_event_id > after
        count, after = count + step.event_count, step.last_event_id


async def test_an_end_waits_beside_calls_that_made_nothing_in_the_order_of_ids(
    chat_stores: ChatStores,
) -> None:
    first = await made(chat_stores, "ana")
    between = waiting(usage_event(refused=True))
    await chat_stores.outbox.add([between], ["ana"])
    last = await made(chat_stores)
    assert [event.event_id for event in await waits(chat_stores)] == [first, between.event_id, last]
    backlog = await chat_stores.outbox.backlog()
    assert backlog.events == 3
    assert 0 <= backlog.oldest_seconds < 60
    await chat_stores.outbox.remove([first, between.event_id])
    assert [event.event_id for event in await waits(chat_stores)] == [last]


async def test_pending_are_the_events_of_generations_that_wait(chat_stores: ChatStores) -> None:
    ids = [await made(chat_stores, "ana") for _ in range(3)]
    await chat_stores.outbox.add([waiting(usage_event(refused=True))], ["ana"])
    pending = chat_stores.records.pending
    assert await pending(*ALWAYS) == 3
    assert await pending(ALWAYS[0] - timedelta(days=1), ALWAYS[0]) == 0
    await chat_stores.outbox.remove(ids[:1])
    assert await pending(*ALWAYS) == 2
    await chat_stores.outbox.set_aside(ids[1], "it is bad")
    assert await pending(*ALWAYS) == 1
    assert sum(one.event_count for one in await chat_stores.records.summarize(*ALWAYS, 10)) == 3


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_what_was_delivered_is_delivered_again_byte_for_byte(
    chat_stores: ChatStores, limit: int
) -> None:
    session = await chat_stores.opened("ana")
    await made(chat_stores, "ana", session)
    await made(chat_stores, "ana", first_token=False)
    await made(chat_stores, "ben", fails=True)
    await made(chat_stores)
    before = await shipped(chat_stores)
    assert await redelivered(chat_stores, limit) == len(before) == 4
    assert await chat_stores.records.pending(*ALWAYS) == 4
    assert await waits(chat_stores) == before
    # Again is the same, and what waits already waits once.
    assert await redelivered(chat_stores, limit) == 0
    assert await shipped(chat_stores) == before


async def test_a_redelivery_keeps_to_its_span(chat_stores: ChatStores) -> None:
    await made(chat_stores, "ana")
    await shipped(chat_stores)
    tomorrow = ALWAYS[1], ALWAYS[1] + timedelta(days=1)
    assert await chat_stores.records.redeliver(*tomorrow, "", 10) == Redelivered("", 0)
    assert not await waits(chat_stores)


async def test_a_deleted_session_takes_nothing_from_its_events(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened("ana")
    await made(chat_stores, "ana", session)
    before = await shipped(chat_stores)
    assert await chat_stores.sessions.delete_session(session.session_id, "ana") is not None
    assert await redelivered(chat_stores) == 1
    assert await waits(chat_stores) == before


async def test_whoever_was_deleted_stays_nobody(chat_stores: ChatStores) -> None:
    ana = new_id()
    session = await chat_stores.opened(ana)
    await made(chat_stores, ana, session)
    await made(chat_stores, ana, fails=True)
    await made(chat_stores, "ben")
    # What waits, and what is made anew, says the same of her.
    untouched = (await waits(chat_stores))[2]
    assert await chat_stores.deletions.remove(ana)
    before = await shipped(chat_stores)
    assert before[2] == untouched
    assert await redelivered(chat_stores) == 3
    assert await waits(chat_stores) == before
    for event in before[:2]:
        told = usage_pb2.UsageEvent.FromString(event.payload)
        assert (told.user_id, told.api_key_id, told.session_id, told.request_id) == ("", "", "", "")
        assert told.model == "another"


async def test_calls_that_made_nothing_lose_whoever_was_deleted(chat_stores: ChatStores) -> None:
    ana, ben = new_id(), new_id()
    events = [usage_event(user_id=ana, api_key_id="hers"), usage_event(user_id=ben)]
    await chat_stores.outbox.add([waiting(event) for event in events], [ana, ben])
    await chat_stores.outbox.set_aside(events[0].event_id, "it is bad")
    aside = usage_event(user_id=ana)
    await chat_stores.outbox.add([waiting(aside)], [ana])
    assert await chat_stores.deletions.remove(ana)
    found = await waits(chat_stores)
    assert [usage_pb2.UsageEvent.FromString(event.payload).user_id for event in found] == [ben, ""]


async def test_what_was_set_aside_waits_again_when_it_is_to_be_redelivered(chat_stores: ChatStores) -> None:
    event_id = await made(chat_stores, "ana")
    before = await waits(chat_stores)
    await chat_stores.outbox.set_aside(event_id, "nobody knows why")
    assert not await waits(chat_stores)
    assert (await chat_stores.outbox.backlog()).set_aside == 1
    assert await redelivered(chat_stores) == 1
    assert await waits(chat_stores) == before
    assert (await chat_stores.outbox.backlog()).set_aside == 0


async def test_an_answer_that_is_forgotten_leaves_its_event(chat_stores: ChatStores) -> None:
    event_id = await made(chat_stores)
    before = await waits(chat_stores)
    now = timedelta(seconds=-10)
    assert await chat_stores.records.forget_answers(now, 10) == 1
    assert await shipped(chat_stores) == before
    # Then nothing of it is left.
    await chat_stores.records.forget_answers(now, 10)
    assert list(await chat_stores.records.summarize(*ALWAYS, 10)) == []
    assert await redelivered(chat_stores) == 0
    assert event_id == before[0].event_id
