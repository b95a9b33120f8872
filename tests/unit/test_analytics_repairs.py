"""A repair has lost events delivered again and makes damaged figures anew; it removes nothing, and says what it could not do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import services.analytics.usecases.reconcile as reconcile_module
from services.analytics.errors import ReconcileRunning
from services.analytics.model.balances import FigureTallies, Tallies
from services.analytics.model.events import RecordedEvent
from services.analytics.usecases.reconcile import Balance, Reconcile
from services.capabilities.metering.model import ServiceType
from services.kernel.errors import Unavailable
from tests.fakes.analytics_events import event, events_of
from tests.fakes.analytics_ledger import Ledger
from tests.fakes.analytics_memory import MemoryUsageStore
from tests.fakes.analytics_stage import FOR_EVER, NOW, SetClock
from tests.fakes.chat_play import until

CHAT = ServiceType.LLM_CHAT
HOUR = timedelta(hours=1)
START = NOW - timedelta(days=2, hours=3)


class Accounts:
    """A service's books beside what Analytics has: both have the same calls at first."""

    def __init__(
        self,
        calls: Sequence[RecordedEvent] = (),
        usage: MemoryUsageStore | None = None,
        retention: timedelta = FOR_EVER,
    ) -> None:
        self.usage = usage or MemoryUsageStore(event_retention=FOR_EVER)
        self.ledger = Ledger(self.usage, list(calls))
        self.reconcile = Reconcile({CHAT: self.ledger}, self.usage, SetClock(), retention)

    async def ready(self) -> Accounts:
        await self.usage.record(self.ledger.calls)
        return self

    def lose(self, *lost: RecordedEvent) -> None:
        """Have the service tell of calls whose events never arrived."""
        self.ledger.calls += lost

    async def repair(self, start: datetime = START) -> Balance:
        _, _, (balance,) = await self.reconcile(start, None, [CHAT], repair=True)
        return balance


def three_calls() -> list[RecordedEvent]:
    return [event(NOW - number * HOUR, user_id=f"u{number}") for number in (1, 2, 3)]


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile_module, "_LOOK_AGAIN_SECONDS", 0.0)


async def test_where_nothing_differs_nothing_is_mended() -> None:
    accounts = await Accounts(three_calls()).ready()
    balance = await accounts.repair()
    assert (balance.differences, balance.redelivered, balance.rebuilt_days, balance.note) == ((), 0, 0, "")
    assert (accounts.ledger.redelivered, accounts.usage.rebuilt) == ([], [])


async def test_lost_events_are_delivered_again() -> None:
    accounts = await Accounts(three_calls()).ready()
    lost = event(NOW - HOUR, user_id="u9")
    accounts.lose(lost)
    balance = await accounts.repair()
    assert (balance.differences, balance.note, balance.rebuilt_days) == ((), "", 0)
    assert balance.redelivered == 4
    assert lost.event_id in accounts.usage.kept
    assert balance.events.events == balance.figures.events == 4


async def test_damaged_figures_are_made_anew_a_day_at_a_time() -> None:
    calls = [event(NOW - days * timedelta(days=1)) for days in (0.1, 0.2, 2)]
    accounts = await Accounts(calls).ready()
    accounts.usage.damage()
    balance = await accounts.repair()
    assert (balance.differences, balance.rebuilt_days, balance.redelivered) == ((), 2, 0)
    assert accounts.usage.rebuilt == [date(2026, 3, 8), date(2026, 3, 10)]
    assert accounts.usage.counted == accounts.usage.kept


class SystemSpoiled(MemoryUsageStore):
    """Its figures of the system tell a call too many until they are made anew."""

    async def figure_tallies(self, start: datetime, end: datetime, service: ServiceType) -> FigureTallies:
        kept = await super().figure_tallies(start, end, service)
        if self.rebuilt:
            return kept
        system: Tallies = {
            account: one._replace(events=one.events + 1) for account, one in kept.system.items()
        }
        return kept._replace(system=system)


async def test_damaged_figures_of_the_system_are_made_anew() -> None:
    accounts = await Accounts(three_calls(), SystemSpoiled(event_retention=FOR_EVER)).ready()
    balance = await accounts.repair()
    assert (balance.differences, balance.rebuilt_days, balance.note) == ((), 1, "")


async def test_events_that_the_service_has_forgotten_stay_and_are_noted() -> None:
    accounts = await Accounts(three_calls()).ready()
    forgotten = accounts.ledger.calls.pop()
    balance = await accounts.repair()
    assert "they stay" in balance.note
    assert [one.account.user_id for one in balance.differences] == [forgotten.series.user_id]
    assert forgotten.event_id in accounts.usage.kept
    assert (balance.redelivered, balance.rebuilt_days) == (0, 0)


async def test_figures_whose_events_are_kept_no_more_stay_and_are_noted() -> None:
    accounts = await Accounts(three_calls(), MemoryUsageStore(event_retention=-FOR_EVER)).ready()
    accounts.usage.damage()
    before = dict(accounts.usage.counted)
    balance = await accounts.repair()
    assert "1 days are not kept any more" in balance.note
    assert (accounts.usage.counted, balance.rebuilt_days) == (before, 0)
    assert "they stay" not in balance.note


async def test_damaged_figures_of_the_system_are_not_blamed_on_the_service() -> None:
    spoiled = SystemSpoiled(event_retention=-FOR_EVER)
    balance = await (await Accounts(three_calls(), spoiled).ready()).repair()
    assert balance.differences
    assert "does not tell" not in balance.note


async def test_events_older_than_events_are_kept_are_not_asked_for_again() -> None:
    accounts = await Accounts(three_calls(), retention=timedelta(days=1)).ready()
    old, young = event(NOW - timedelta(days=1.5)), event(NOW - 2 * HOUR)
    accounts.lose(old, young)
    balance = await accounts.repair()
    assert all(start > NOW - timedelta(days=1) for start, _ in accounts.ledger.redelivered)
    assert young.event_id in accounts.usage.kept
    assert old.event_id not in accounts.usage.kept
    assert [one.service.events - one.events.events for one in balance.differences] == [1]
    assert "can't be delivered again" in balance.note


async def test_a_time_before_events_are_kept_is_compared_and_left_alone() -> None:
    accounts = await Accounts(retention=timedelta(hours=1)).ready()
    accounts.lose(event(NOW - timedelta(days=1)))
    _, _, (balance,) = await accounts.reconcile(START, NOW - 2 * HOUR, [], repair=True)
    assert accounts.ledger.redelivered == []
    assert balance.differences
    assert "can't be delivered again" in balance.note


async def test_a_delivery_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile_module, "_DELIVERY_SECONDS", 0.05)
    accounts = await Accounts(three_calls()).ready()
    accounts.lose(event(NOW - HOUR, user_id="u9"))
    accounts.ledger.delivers = False
    balance = await accounts.repair()
    assert (balance.redelivered, balance.pending) == (4, 4)
    assert balance.events.events == 3


async def test_one_repair_at_a_time() -> None:
    accounts = await Accounts(three_calls()).ready()
    async with accounts.usage.repairing() as alone:
        assert alone
        with pytest.raises(ReconcileRunning):
            await accounts.repair()
        assert (await accounts.reconcile(START, None, [], repair=False))[2]
    assert (await accounts.repair()).differences == ()


@pytest.mark.parametrize("end", ["failure", "cancellation"])
async def test_a_repair_that_is_broken_off_makes_room_for_the_next(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = await Accounts(three_calls()).ready()
    accounts.lose(event(NOW - HOUR))
    if end == "failure":
        accounts.ledger.away = True
        with pytest.raises(Unavailable):
            await accounts.repair()
    else:
        monkeypatch.setattr(reconcile_module, "_LOOK_AGAIN_SECONDS", 3600.0)
        repair = asyncio.create_task(accounts.repair())
        await until(lambda: accounts.ledger.asked)
        repair.cancel()
        with pytest.raises(asyncio.CancelledError):
            await repair
        monkeypatch.setattr(reconcile_module, "_LOOK_AGAIN_SECONDS", 0.0)
    accounts.ledger.away = False
    assert (await accounts.repair()).differences == ()


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(events_of(START, NOW), st.booleans()), max_size=15), st.booleans())
async def test_after_a_repair_all_three_agree_whatever_was_lost(
    calls: list[tuple[RecordedEvent, bool]], damaged: bool
) -> None:
    chats = [(one, arrived) for one, arrived in calls if one.series.service_type == CHAT.value]
    accounts = await Accounts([one for one, arrived in chats if arrived]).ready()
    # A call in which nothing began is told once, if at all.
    accounts.lose(*(one for one, arrived in chats if not arrived and not one.series.refused))
    if damaged:
        accounts.usage.damage()
    balance = await accounts.repair()
    assert (balance.differences, balance.pending, balance.note) == ((), 0, "")
    assert set(accounts.usage.kept) == {one.event_id for one in accounts.ledger.calls}
    assert {id_: one for id_, one in accounts.usage.counted.items() if not one.series.refused} == {
        id_: one for id_, one in accounts.usage.kept.items() if not one.series.refused
    }
