"""Reconcile finds what the services' books, the events and the figures do not agree on, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import services.analytics.usecases.reconcile as reconcile_module
from services.analytics.errors import ServiceUnknown
from services.analytics.model.balances import NOTHING, Account, Books, FigureTallies, Tallies
from services.analytics.model.events import RecordedEvent
from services.analytics.usecases.reconcile import Balance, Reconcile
from services.capabilities.metering.model import ServiceType
from services.kernel.errors import InvalidArgument, Unavailable
from tests.fakes.analytics_events import MILLISECOND, event, events_of
from tests.fakes.analytics_ledger import Ledger
from tests.fakes.analytics_memory import MemoryUsageStore
from tests.fakes.analytics_stage import FOR_EVER, NOW, SetClock
from tests.fakes.analytics_sums import is_in, tallies_of

CHAT, SPEECH = ServiceType.LLM_CHAT, ServiceType.TEXT_TO_SPEECH
HOUR = timedelta(hours=1)
START = NOW - timedelta(days=2, hours=3)


class Accounts:
    """A service's books beside what Analytics has: both have the same calls at first."""

    def __init__(self, calls: Sequence[RecordedEvent] = (), usage: MemoryUsageStore | None = None) -> None:
        self.usage = usage or MemoryUsageStore(event_retention=FOR_EVER)
        self.ledger = Ledger(self.usage, list(calls))
        self.reconcile = Reconcile({CHAT: self.ledger}, self.usage, SetClock(), FOR_EVER)

    async def ready(self) -> Accounts:
        await self.usage.record(self.ledger.calls)
        return self

    async def compare(self, start: datetime | None = START, end: datetime | None = None) -> Balance:
        _, _, (balance,) = await self.reconcile(start, end, [], repair=False)
        return balance


def three_calls() -> list[RecordedEvent]:
    return [event(NOW - number * HOUR, user_id=f"u{number}") for number in (1, 2, 3)]


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile_module, "_LOOK_AGAIN_SECONDS", 0.0)


async def test_books_that_agree_are_balanced() -> None:
    balance = await (await Accounts(three_calls()).ready()).compare()
    assert (balance.service, balance.differences, balance.note) == (CHAT, (), "")
    assert (balance.books.events, balance.events.events, balance.figures.events) == (3, 3, 3)
    assert balance.books == balance.events == balance.figures


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(
    st.lists(events_of(START, NOW), max_size=20),
    st.integers(0, 40 * 3_600_000),
    st.integers(1, 11 * 3_600_000),
)
async def test_any_part_of_the_time_is_balanced_to_the_unit(
    calls: list[RecordedEvent], after: int, length: int
) -> None:
    chats = [one for one in calls if one.series.service_type == CHAT.value]
    accounts = await Accounts(chats).ready()
    await accounts.usage.record(calls)
    start = START + after * MILLISECOND
    end = start + length * MILLISECOND
    balance = await accounts.compare(start, end)
    assert balance.differences == ()
    counted = [one for one in chats if is_in(one, start, end) and not one.series.refused]
    assert balance.events.events == balance.figures.events == len(counted)


async def test_a_lost_event_is_a_difference() -> None:
    accounts = await Accounts(three_calls()).ready()
    lost = event(NOW - HOUR, user_id="u9", model="m")
    accounts.ledger.calls.append(lost)
    balance = await accounts.compare()
    (one,) = balance.differences
    assert one.account == Account("u9", "m", 1)
    assert (one.service, one.events, one.figures) == (tallies_of([lost])[one.account], NOTHING, NOTHING)
    assert (balance.books.events, balance.events.events) == (4, 3)


async def test_a_quantity_that_differs_is_a_difference() -> None:
    accounts = await Accounts(three_calls()).ready()
    first = accounts.ledger.calls[0]
    more = (first.quantities[0] + 1, *first.quantities[1:])
    accounts.ledger.calls[0] = first._replace(quantities=more)
    (one,) = (await accounts.compare()).differences
    assert one.service.quantities == more
    assert one.events == one.figures


async def test_figures_that_differ_from_the_events_are_a_difference() -> None:
    accounts = await Accounts(three_calls()).ready()
    accounts.usage.damage()
    differences = (await accounts.compare()).differences
    assert {one.account.user_id for one in differences} == {"u1", "u3"}
    assert all(one.service == one.events != one.figures for one in differences)


async def test_calls_in_which_nothing_began_are_in_nobodys_books() -> None:
    accounts = await Accounts(three_calls()).ready()
    await accounts.usage.record([event(NOW - HOUR, (0,) * 7, status=2, refused=True)])
    assert (await accounts.compare()).differences == ()


async def test_comparing_mends_nothing() -> None:
    accounts = await Accounts(three_calls()).ready()
    accounts.ledger.calls.append(event(NOW - HOUR))
    accounts.usage.damage()
    assert (await accounts.compare()).differences
    assert (accounts.ledger.redelivered, accounts.usage.rebuilt) == ([], [])
    assert (await accounts.compare()).differences


async def test_events_on_their_way_are_no_difference() -> None:
    accounts = await Accounts(three_calls()).ready()
    late = event(NOW - HOUR, user_id="u9")
    accounts.ledger.calls.append(late)
    accounts.ledger.waiting.append(late)
    accounts.ledger.delivers = False
    balance = await accounts.compare()
    assert (balance.differences, balance.pending) == ((), 1)
    accounts.ledger.delivers = True
    balance = await accounts.compare()
    assert (balance.differences, balance.pending, balance.events.events) == ((), 0, 4)


async def test_events_on_their_way_are_counted_over_all_days() -> None:
    accounts = await Accounts(three_calls()).ready()
    late = [event(NOW - hours * HOUR) for hours in (1, 30)]
    accounts.ledger.calls += late
    accounts.ledger.waiting += late
    accounts.ledger.delivers = False
    balance = await accounts.compare()
    assert (balance.differences, balance.pending) == ((), 2)


async def test_events_on_their_way_hide_no_more_than_themselves() -> None:
    accounts = await Accounts(three_calls()).ready()
    late, lost = event(NOW - HOUR, user_id="u8"), event(NOW - HOUR, user_id="u9")
    accounts.ledger.calls += [late, lost]
    accounts.ledger.waiting.append(late)
    accounts.ledger.delivers = False
    balance = await accounts.compare()
    assert {one.account.user_id for one in balance.differences} == {"u8", "u9"}
    assert balance.pending == 1


async def test_events_on_their_way_hide_no_damaged_figures() -> None:
    accounts = await Accounts(three_calls()).ready()
    accounts.usage.damage()
    late = event(NOW - HOUR, user_id="u8")
    accounts.ledger.calls.append(late)
    accounts.ledger.waiting.append(late)
    accounts.ledger.delivers = False
    assert (await accounts.compare()).differences


class Busy(Ledger):
    """Calls end while its books are read: each time another one is in them that Analytics has a look later."""

    just_ended: RecordedEvent | None = None
    times: int = 2

    async def summarize(self, start: datetime, end: datetime) -> Books:
        if self.just_ended is not None:
            await self.usage.record([self.just_ended])
            self.just_ended = None
        if self.times:
            self.times -= 1
            self.just_ended = event(NOW - MILLISECOND, user_id="u1")
            self.calls.append(self.just_ended)
        return await super().summarize(start, end)


async def test_calls_that_end_meanwhile_are_looked_at_again() -> None:
    accounts = await Accounts(three_calls()).ready()
    busy = Busy(accounts.usage, list(accounts.ledger.calls))
    accounts.reconcile = Reconcile({CHAT: busy}, accounts.usage, SetClock(), FOR_EVER)
    balance = await accounts.compare()
    assert (balance.differences, balance.books.events) == ((), 5)


class SystemSpoiled(MemoryUsageStore):
    """Its figures of the system tell a call too many."""

    async def figure_tallies(self, start: datetime, end: datetime, service: ServiceType) -> FigureTallies:
        kept = await super().figure_tallies(start, end, service)
        system: Tallies = {
            account: one._replace(events=one.events + 1) for account, one in kept.system.items()
        }
        return kept._replace(system=system)


@pytest.mark.parametrize("pending", [0, 1])
async def test_damaged_figures_of_the_system_are_a_difference_of_nobodys(pending: int) -> None:
    calls = [event(NOW - HOUR, user_id=user) for user in ("u1", "u2", "u3")]
    accounts = await Accounts(calls, SystemSpoiled(event_retention=FOR_EVER)).ready()
    accounts.ledger.delivers = False
    late = [event(NOW - HOUR, user_id="u1", model="other") for _ in range(pending)]
    accounts.ledger.calls += late
    accounts.ledger.waiting += late
    (one,) = (await accounts.compare()).differences
    assert one.account == Account("", "echo", 1)
    assert (one.service.events, one.events.events, one.figures.events) == (3, 3, 4)


async def test_a_span_with_more_sums_than_are_told_at_once_is_asked_for_in_parts() -> None:
    calls = [event(NOW - number * HOUR - 7 * MILLISECOND, user_id=f"u{number}") for number in range(1, 20)]
    accounts = await Accounts(calls).ready()
    accounts.ledger.most_sums = 2
    balance = await accounts.compare()
    assert (balance.differences, balance.books.events) == ((), 19)


async def test_a_second_with_more_sums_than_are_told_at_once_can_not_be_compared() -> None:
    accounts = await Accounts([event(NOW - HOUR, user_id=f"u{number}") for number in range(3)]).ready()
    accounts.ledger.most_sums = 2
    with pytest.raises(InvalidArgument):
        await accounts.compare()
    assert len(accounts.ledger.asked) < 50


async def test_without_times_the_last_day_is_compared() -> None:
    accounts = await Accounts([event(NOW - timedelta(hours=23)), event(NOW - timedelta(hours=25))]).ready()
    start, end, (balance,) = await accounts.reconcile(None, None, [], repair=False)
    assert (start, end, balance.events.events) == (NOW - timedelta(days=1), NOW, 1)


async def test_what_has_not_ended_is_not_compared() -> None:
    accounts = Accounts()
    for end in (NOW + HOUR, NOW + timedelta(days=3000)):
        assert (await accounts.reconcile(START, end, [], repair=False))[:2] == (START, NOW)


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (NOW, None, "end_time"),
        (NOW + HOUR, None, "end_time"),
        (START, START, "end_time"),
        (NOW - timedelta(days=32, milliseconds=1), None, "start_time"),
        (datetime(1, 1, 1, tzinfo=UTC), None, "start_time"),
        (None, datetime(1, 1, 1, tzinfo=UTC), "end_time"),
        (None, datetime(9999, 12, 31, tzinfo=UTC), "end_time"),
        (datetime(9999, 12, 31, tzinfo=UTC), None, "start_time"),
    ],
)
async def test_other_spans_are_refused(start: datetime | None, end: datetime | None, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await Accounts().reconcile(start, end, [], repair=False)
    assert refused.value.violations[0].field == field


async def test_a_service_whose_address_nobody_has_set_is_unknown() -> None:
    with pytest.raises(ServiceUnknown) as refused:
        await Accounts().reconcile(None, None, [CHAT, SPEECH], repair=True)
    assert refused.value.metadata == {"service": "text_to_speech"}


async def test_all_known_services_are_compared_unless_some_are_named() -> None:
    accounts = Accounts()
    accounts.reconcile = Reconcile(
        {CHAT: accounts.ledger, SPEECH: Ledger(accounts.usage)}, accounts.usage, SetClock(), FOR_EVER
    )
    for named, compared in (([], [CHAT, SPEECH]), ([SPEECH], [SPEECH])):
        _, _, balances = await accounts.reconcile(None, None, named, repair=False)
        assert [one.service for one in balances] == compared


async def test_a_service_that_is_away_is_told() -> None:
    accounts = Accounts()
    accounts.ledger.away = True
    with pytest.raises(Unavailable):
        await accounts.compare()
