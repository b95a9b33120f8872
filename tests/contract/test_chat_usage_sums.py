"""What every store says was used, against what it told the meter."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.capabilities.metering.model import Unit, UsageStatus, UsageSummary
from services.kernel.ids import first_id_at
from tests.fakes.chat_records import completed, failed, usage_event
from tests.fakes.chat_stores import ChatStores

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def id_at(moment: datetime, number: int = 0) -> str:
    """An id made at that moment."""
    return f"{first_id_at(moment)[:-4]}{number:04x}"


async def used(
    stores: ChatStores, user_id: str, moment: datetime, *, model: str = "echo", fails: bool = False
) -> None:
    """A call of somebody's, in no session, that ended at that moment."""
    lease, new = await stores.started(user_id, None)
    ending = failed(1, free_claim=False) if fails else completed(new, 2, "sure")
    event = replace(
        usage_event(new.generation),
        event_id=id_at(moment, int(new.generation.generation_id[-4:], 16)),
        model=model,
        status=UsageStatus.ERROR if fails else UsageStatus.SUCCESS,
    )
    assert await stores.records.finish(lease, new.generation, replace(ending, model=model), event)


async def test_calls_add_up_by_person_model_and_status(chat_stores: ChatStores) -> None:
    for user_id, model, fails in (
        ("u2", "echo", False),
        ("u1", "echo", False),
        ("u1", "echo", False),
        ("u1", "echo", True),
        ("u1", "another", False),
        ("", "echo", False),
    ):
        await used(chat_stores, user_id, NOON, model=model, fails=fails)
    one, two = {Unit.INPUT_TOKENS: 3, Unit.OUTPUT_TOKENS: 2}, {Unit.INPUT_TOKENS: 6, Unit.OUTPUT_TOKENS: 4}
    expected = [
        UsageSummary("", "echo", UsageStatus.SUCCESS, 1, one),
        UsageSummary("u1", "another", UsageStatus.SUCCESS, 1, one),
        UsageSummary("u1", "echo", UsageStatus.SUCCESS, 2, two),
        UsageSummary("u1", "echo", UsageStatus.ERROR, 1, {}),
        UsageSummary("u2", "echo", UsageStatus.SUCCESS, 1, one),
    ]
    end = NOON + timedelta(seconds=1)
    assert list(await chat_stores.records.summarize(NOON, end, 100)) == expected
    assert list(await chat_stores.records.summarize(NOON, end, 2)) == expected[:2]


async def test_the_time_of_the_events_id_counts(chat_stores: ChatStores) -> None:
    tick = timedelta(milliseconds=1)
    for moment in (NOON - tick, NOON, NOON + tick):
        await used(chat_stores, "u1", moment)

    async def count(start: datetime, end: datetime) -> int:
        return sum(one.event_count for one in await chat_stores.records.summarize(start, end, 100))

    assert await count(NOON, NOON + tick) == 1
    assert await count(NOON - tick, NOON) == 1
    assert await count(NOON - tick, NOON + 2 * tick) == 3
    assert await count(NOON + 2 * tick, NOON + timedelta(days=1)) == 0


async def test_what_the_meter_was_not_told_is_not_summed(chat_stores: ChatStores) -> None:
    lease, new = await chat_stores.started("u1", None)
    assert await chat_stores.records.finish(lease, new.generation, completed(new, 2, "sure"), None)
    await chat_stores.started("u1", None)
    now = datetime.now(UTC)
    span = timedelta(hours=1)
    assert list(await chat_stores.records.summarize(now - span, now + span, 100)) == []
