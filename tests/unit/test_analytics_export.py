"""An export is a file that other programs read back: each event once, oldest first, with its cost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from antiphon.usage.v1 import usage_pb2
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.mapping import exports
from services.analytics.mapping.events import event_to_proto
from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter
from services.analytics.usecases.export_events import ExportEvents, PricedEvent
from services.kernel.errors import InvalidArgument, Unavailable
from tests.fakes.analytics_events import EPOCH, MILLISECOND, event, events_of, id_at, moment_of, quantities
from tests.fakes.analytics_stage import ADMIN, ALICE, FOR_EVER, NOW, Stage, a_price, stage

START = NOW - timedelta(days=3)
ODD_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\nx",
    "＝1",
    "＋1",
    "－1",
    "＠1",
    '=HYPERLINK("http://x","y")',
]


async def exported(
    on: Stage,
    start: datetime | None = None,
    end: datetime | None = None,
    which: Filter | None = None,
    retention: timedelta = FOR_EVER,
) -> list[list[PricedEvent]]:
    export = ExportEvents(on.usage, on.prices, on.clock, retention)
    return [page async for page in export(ADMIN, "", True, start, end, which or Filter())]


def as_csv(events: Sequence[PricedEvent]) -> list[dict[str, str]]:
    """What a reader of RFC 4180 finds in the file."""
    text = (exports.csv_header() + exports.csv_lines(events)).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def as_messages(events: Sequence[PricedEvent]) -> list[tuple[usage_pb2.UsageEvent, str | None]]:
    """What a reader of JSON lines finds: events, and their costs."""
    found = []
    for line in exports.json_lines(events).decode().split("\n")[:-1]:
        told = json.loads(line)
        cost = told.pop("costNanoUsd", None)
        found.append((json_format.ParseDict(told, usage_pb2.UsageEvent()), cost))
    return found


async def test_events_come_once_each_and_oldest_first() -> None:
    events = [event(START + number * MILLISECOND * 40, user_id="u") for number in range(1234)]
    on = await stage(events[::-1])
    pages = await exported(on)
    assert [one.event for page in pages for one in page] == sorted(events)
    assert [len(page) for page in pages] == [500, 500, 234]


async def test_a_last_page_that_is_full_is_followed_by_none() -> None:
    on = await stage([event(START + number * MILLISECOND) for number in range(500)])
    assert [len(page) for page in await exported(on)] == [500]
    assert await exported(await stage()) == []


async def test_events_that_come_meanwhile_are_in_none_of_the_pages_before() -> None:
    on = await stage([event(START + number * MILLISECOND) for number in range(600)])
    export = ExportEvents(on.usage, on.prices, on.clock, FOR_EVER)
    pages = export(ADMIN, "", True, None, None, Filter())
    found = [*await anext(pages)]
    await on.usage.record([event(START - MILLISECOND), event(START + 700 * MILLISECOND)])
    async for page in pages:
        found += page
    assert len({one.event.event_id for one in found}) == len(found) == 601


async def test_the_start_is_in_and_the_end_is_not() -> None:
    on = await stage([event(START + number * MILLISECOND) for number in range(5)])
    (page,) = await exported(on, START + MILLISECOND, START + 3 * MILLISECOND)
    assert [one.event.end_time for one in page] == [
        (START - EPOCH) // timedelta(microseconds=1) + 1000 * number for number in (1, 2)
    ]


async def test_without_a_start_all_that_is_kept_is_exported_until_now() -> None:
    kept = timedelta(days=90)
    on = await stage([event(NOW - kept), event(NOW - MILLISECOND), event(NOW)])
    (page,) = await exported(on, retention=kept)
    assert len(page) == 2


@pytest.mark.parametrize("end", [START, START - timedelta(days=1)])
async def test_a_span_without_a_length_is_refused(end: datetime) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await exported(await stage(), START, end)
    assert refused.value.violations[0].field == "end_time"


async def test_filters_choose_the_events() -> None:
    on = await stage([event(START, model=model, user_id=user) for model in "ab" for user in ("alice", "bob")])
    (page,) = await exported(on, which=Filter({Dimension.MODEL: ("a",)}))
    assert {one.event.series.user_id for one in page} == {"alice", "bob"}
    own = ExportEvents(on.usage, on.prices, on.clock, FOR_EVER)
    (mine,) = [page async for page in own(ALICE, "", False, None, None, Filter({Dimension.MODEL: ("a",)}))]
    assert [(one.event.series.user_id, one.event.series.model) for one in mine] == [("alice", "a")]


async def test_each_event_has_the_cost_of_its_time() -> None:
    used = quantities(input_tokens=1_000_000)
    events = [event(START + number * MILLISECOND, used) for number in range(2)]
    unpriced = event(START + 2 * MILLISECOND, used, model="nameless")
    free = event(START + 3 * MILLISECOND, quantities(), model="nameless")
    on = await stage([*events, unpriced, free], [a_price(3), a_price(5, at=START + MILLISECOND)])
    (page,) = await exported(on)
    assert [one.cost for one in page] == [3, 5, None, 0]
    assert [row["cost_nano_usd"] for row in as_csv(page)] == ["3", "5", "", "0"]
    assert [cost for _, cost in as_messages(page)] == ["3", "5", None, "0"]


async def test_a_store_that_is_away_is_told() -> None:
    on = await stage()
    on.usage.away = True
    with pytest.raises(Unavailable):
        await exported(on)


@settings(max_examples=30)
@given(st.lists(events_of(START, NOW), max_size=10), st.none() | st.integers(0, 10**25))
def test_json_lines_are_read_back_as_events(events: list[RecordedEvent], cost: int | None) -> None:
    found = as_messages([PricedEvent(one, cost) for one in events])
    assert found == [(event_to_proto(one), None if cost is None else str(cost)) for one in events]


@settings(max_examples=60)
@given(ODD_TEXTS, ODD_TEXTS)
def test_csv_gives_every_text_back_or_marks_it(project: str, request_id: str) -> None:
    one = event(START, project=project, request_id=request_id)
    (row,) = as_csv([PricedEvent(one, None)])
    for told, text in ((row["project"], project), (row["request_id"], request_id)):
        assert told in (text, f"'{text}")
        assert not told.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("text", FORMULAS)
def test_no_spreadsheet_takes_a_text_for_a_formula(text: str) -> None:
    fields = ("operation", "error_reason", "user_id", "api_key_id", "project", "model", "provider", "variant")
    texts: dict[str, Any] = dict.fromkeys((*fields, "session_id", "request_id"), text)
    one = event(START, **texts)
    (row,) = as_csv([PricedEvent(one, None)])
    assert [row[name] for name in (*fields, "session_id", "request_id")] == [f"'{text}"] * 10


def test_csv_tells_everything_of_an_event() -> None:
    end = NOW - timedelta(seconds=1, milliseconds=1)
    one = event(
        event_id=id_at(end),
        used=quantities(images=2, audio_milliseconds=70),
        service_type=2,
        operation="GenerateImage",
        status=2,
        error_reason="TIMEOUT",
        refused=True,
        user_id="u",
        api_key_id="k",
        session_id="s",
        request_id="r",
        project='quoted "and", then\nbroken',
        model="m",
        provider="p",
        variant="1024x1024",
        provenance=3,
        latency=2_000_001,
        first_token=-1,
    )
    (row,) = as_csv([PricedEvent(one, 12)])
    assert row == {
        "event_id": one.event_id,
        "end_time": "2026-03-10T12:29:58.999+00:00",
        "service_type": "text_to_image",
        "operation": "GenerateImage",
        "status": "error",
        "error_reason": "TIMEOUT",
        "refused": "true",
        "user_id": "u",
        "api_key_id": "k",
        "session_id": "s",
        "request_id": "r",
        "project": 'quoted "and", then\nbroken',
        "model": "m",
        "provider": "p",
        "variant": "1024x1024",
        "start_time": "2026-03-10T12:29:56.998+00:00",
        "latency_microseconds": "2000001",
        "first_token_microseconds": "",
        "provenance": "measured",
        "input_tokens": "",
        "cached_input_tokens": "",
        "output_tokens": "",
        "reasoning_tokens": "",
        "images": "2",
        "characters": "",
        "audio_milliseconds": "70",
        "cost_nano_usd": "12",
    }


def test_lines_end_as_their_formats_want_it() -> None:
    one = PricedEvent(event(START, project="a\nb\u2028c"), 1)
    assert exports.csv_header().count(b"\r\n") == 1
    assert exports.csv_lines([one, one]).endswith(b"\r\n")
    assert exports.json_lines([one, one]).count(b"\n") == 2
    assert exports.json_lines([one]).endswith(b"}\n")
    assert exports.json_lines([]) == exports.csv_lines([]) == b""


@settings(max_examples=30)
@given(events_of(START, NOW))
def test_csv_times_are_exact_to_the_millisecond(one: RecordedEvent) -> None:
    (row,) = as_csv([PricedEvent(one, None)])
    assert datetime.fromisoformat(row["end_time"]) == moment_of(one.end_time)
    start = moment_of(one.start_time)
    assert datetime.fromisoformat(row["start_time"]) == start.replace(
        microsecond=start.microsecond // 1000 * 1000
    )
