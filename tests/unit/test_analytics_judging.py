"""What can't be counted is refused, field by field; what can is counted as it was told."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.analytics.model.events import RecordedEvent
from services.analytics.usecases.judging import judged
from services.kernel.errors import Violation
from tests.fakes.analytics_events import id_at, micros, quantities
from tests.fakes.analytics_stage import NOW, told

KEPT = timedelta(days=90)
AN_ID = "019cd7a6-c2c0-7abc-8def-0123456789ab"
INT64 = 2**63
TEXTS = {
    "operation": 64,
    "error_reason": 64,
    "user_id": 64,
    "api_key_id": 64,
    "session_id": 64,
    "project": 128,
    "model": 256,
    "provider": 128,
    "request_id": 64,
    "variant": 64,
}


def verdict(**changes: Any) -> RecordedEvent | tuple[Violation, ...]:
    return judged(told(**changes), micros(NOW), micros(NOW - KEPT))


def good(**changes: Any) -> RecordedEvent:
    found = verdict(**changes)
    assert isinstance(found, RecordedEvent), found
    return found


def faults(**changes: Any) -> list[str]:
    """The fields that are found bad."""
    found = verdict(**changes)
    assert not isinstance(found, RecordedEvent)
    assert all(one.description for one in found)
    return [one.field for one in found]


def start_at(moment: datetime) -> tuple[int, int]:
    seconds, rest = divmod(micros(moment), 1_000_000)
    return seconds, rest * 1000


def test_a_good_event_is_counted_as_it_was_told() -> None:
    end = NOW - timedelta(minutes=30)
    event = good(variant="1024x1024", api_key_id="k", session_id="s", request_id="r", error_reason="")
    assert event.end_time == micros(end)
    assert event.start_time == micros(end) - 2_000_000
    assert (event.latency, event.first_token) == (2_000_000, 250_000)
    assert event.quantities == quantities(input_tokens=10, output_tokens=5)
    assert event.series.units == 0b101
    assert (event.session_id, event.request_id) == ("s", "r")
    assert event.series[:6] == (1, "StreamChat", "echo", "echo", "demo", 1)
    assert event.series[6:] == ("", False, "1024x1024", 1, 0b101, "alice", "k")


def test_an_upper_case_id_is_the_same_event() -> None:
    event_id = id_at(NOW)
    assert good(event_id=event_id.upper()).event_id == event_id


@pytest.mark.parametrize(
    "event_id",
    [
        "",
        "x",
        "8b1f3d52-6f5c-4b0e-9d3a-2f4c8e7a9b10",
        "c9a646d3-9c61-11ec-82a8-0242ac130002",
        str(uuid.UUID(int=0)),
        AN_ID.replace("-", ""),
        f"{{{AN_ID}}}",
        f"{AN_ID}\n",
        f" {AN_ID}",
        f"{AN_ID[:-1]}\u0661",
        f"{AN_ID[:-1]}\u212a",
        AN_ID.replace("-8def", "-cdef"),
        "9" * 100_000,
    ],
)
def test_an_id_has_to_be_a_uuid_of_version_7(event_id: str) -> None:
    assert faults(event_id=event_id) == ["event_id"]


@pytest.mark.parametrize(
    "end",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        NOW - KEPT - timedelta(milliseconds=1),
        NOW + timedelta(days=1, milliseconds=1),
        datetime(2100, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_a_time_that_is_not_kept_or_has_not_come_is_a_fault_of_the_id(end: datetime) -> None:
    start = start_at(end - timedelta(seconds=1)) if end.year > 1970 else (0, 0)
    assert faults(event_id=id_at(end), start_time=start) == ["event_id"]


def test_an_id_past_the_end_of_the_calendar_is_refused_in_words() -> None:
    # The greatest time that an id can have is in the year 10889.
    event_id = str(uuid.UUID(int=(2**48 - 1) << 80 | 0x7 << 76 | 0b10 << 62))
    assert "event_id" in faults(event_id=event_id)


@pytest.mark.parametrize("end", [NOW - KEPT, NOW, NOW + timedelta(days=1)])
def test_a_clock_may_be_wrong_by_a_day_and_an_event_as_old_as_events_are_kept(end: datetime) -> None:
    assert good(end=end).end_time == micros(end)


@pytest.mark.parametrize(
    "start",
    [
        None,
        (-62_135_596_800, 0),  # 0001-01-01
        (253_402_300_799, 999_999_999),  # 9999-12-31
        (-INT64, 0),
        (INT64 - 1, 999_999_999),
        (0, 0),
        start_at(NOW + timedelta(days=2)),
        start_at(NOW - timedelta(days=33)),
        (start_at(NOW)[0], -1),
        (start_at(NOW)[0], 1_000_000_000),
        (start_at(NOW)[0], -(2**31)),
    ],
)
def test_a_start_that_is_not_shortly_before_the_end_is_refused(start: tuple[int, int] | None) -> None:
    assert faults(start_time=start) == ["start_time"]


@pytest.mark.parametrize("before", [timedelta(days=32), timedelta(0), timedelta(days=-1)])
def test_a_start_may_lie_32_days_back_and_a_day_ahead_where_clocks_were_put_right(before: timedelta) -> None:
    assert good(end=NOW, start_time=start_at(NOW - before)).start_time == micros(NOW - before)


@pytest.mark.parametrize(
    "value",
    [(-1, 0), (0, -1), (0, -1000), (-INT64, 0), (INT64 - 1, 0), (32 * 86_400, 1000), (0, 1_000_000_000)],
)
def test_durations_are_between_nothing_and_32_days(value: tuple[int, int]) -> None:
    assert faults(latency=value) == ["latency"]
    assert faults(time_to_first_token=value) == ["time_to_first_token"]


def test_a_latency_is_needed_and_a_first_token_is_not() -> None:
    assert faults(latency=None) == ["latency"]
    assert good(time_to_first_token=None).first_token == -1
    assert good(time_to_first_token=(0, 0)).first_token == 0
    assert good(latency=(32 * 86_400, 0)).latency == 32 * 86_400_000_000


@pytest.mark.parametrize("field", ["service_type", "status", "provenance"])
@pytest.mark.parametrize("value", [-1, 4, 99, 2**31 - 1, -(2**31)])
def test_values_that_the_contract_does_not_know_are_refused(field: str, value: int) -> None:
    assert faults(**{field: value}) == [field]


@pytest.mark.parametrize("field", ["service_type", "status"])
def test_a_service_and_a_status_are_needed(field: str) -> None:
    assert faults(**{field: 0}) == [field]


def test_no_provenance_is_one() -> None:
    assert good(provenance=0, quantities=()).series.provenance == 0


@pytest.mark.parametrize("field", TEXTS)
def test_texts_have_their_lengths_and_can_be_stored(field: str) -> None:
    assert good(**{field: "€" * TEXTS[field]})
    assert faults(**{field: "x" * (TEXTS[field] + 1)}) == [field]
    assert faults(**{field: "a\0b"}) == [field]
    assert faults(**{field: "\0" * 10_000}) == [field]


def test_an_operation_is_needed() -> None:
    assert faults(operation="") == ["operation"]


@pytest.mark.parametrize("amount", [-1, -INT64, 10**9 + 1, INT64 - 1])
def test_amounts_that_nobody_can_have_used_are_refused(amount: int) -> None:
    assert faults(quantities=((1, 5), (3, amount))) == ["quantities[1].amount"]


@pytest.mark.parametrize("unit", [0, 8, -1, 64, 2**31 - 1, -(2**31)])
def test_units_that_the_contract_does_not_know_are_refused(unit: int) -> None:
    assert faults(quantities=((unit, 5),)) == ["quantities[0].unit"]


def test_a_unit_stands_once() -> None:
    assert faults(quantities=((1, 5), (2, 1), (1, 5))) == ["quantities[2].unit"]
    assert faults(quantities=((1, 0), (1, 0))) == ["quantities[1].unit"]


def test_nothing_used_is_no_use_of_a_unit() -> None:
    event = good(quantities=((7, 0), (1, 3)))
    assert event.series.units == 1
    assert event.quantities == quantities(input_tokens=3)


def test_the_answer_to_thousands_of_quantities_is_short() -> None:
    assert faults(quantities=((1, 5),) * 100_000) == ["quantities"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = faults(
        event_id="",
        service_type=0,
        operation="",
        status=9,
        model="\0",
        start_time=None,
        latency=None,
        quantities=((1, -1),),
        provenance=9,
    )
    assert sorted(found) == [
        "event_id",
        "latency",
        "model",
        "operation",
        "provenance",
        "quantities[0].amount",
        "service_type",
        "start_time",
        "status",
    ]
