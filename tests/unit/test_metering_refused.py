"""Calls that made nothing, on their way into the outbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC
from typing import Any, cast

import pytest
from antiphon.usage.v1 import usage_pb2
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.capabilities.metering.ports import Waiting
from services.capabilities.metering.refused import RefusedCalls
from services.kernel.errors import Unavailable
from services.kernel.ids import first_id_at
from services.kernel.metering import EndedCall
from services.kernel.principal import ANONYMOUS, Kind, Principal
from tests.fakes.metering_memory import Figures, MemoryOutbox

ANA = Principal(Kind.USER, user_id="ana", api_key_id="k1")


def ended(**changes: Any) -> EndedCall:
    values: dict[str, Any] = {
        "service_type": 1,
        "operation": "StreamChat",
        "principal": ANA,
        "cancelled": False,
        "reason": "RATE_LIMITED",
        "project": "demo",
        "model": "",
        "seconds": 0.25,
    }
    return EndedCall(**{**values, **changes})


class Made:
    """A queue of such calls, and where they go."""

    def __init__(self, limit: int = 1000, store: MemoryOutbox | None = None) -> None:
        self.store = store or MemoryOutbox()
        self.figures = Figures()
        self.passed = 0.0
        self.calls = RefusedCalls(
            self.store, self.figures.usage, limit, clock=lambda: time.time() + self.passed
        )

    def told(self, count: int = 1, **changes: Any) -> None:
        for _ in range(count):
            self.calls.ended_without_result(ended(**changes))

    def events(self) -> list[usage_pb2.UsageEvent]:
        return [
            usage_pb2.UsageEvent.FromString(payload)
            for _, (payload, _, _) in sorted(self.store.waiting.items())
        ]

    def count(self, outcome: str) -> float:
        return self.figures("antiphon_usage_refused_calls_total", outcome=outcome)


async def test_an_event_says_who_called_what_and_why_nothing_came_of_it() -> None:
    made = Made()
    before = time.time()
    made.told()
    await made.calls.flush()
    (event,) = made.events()
    assert (event.service_type, event.operation) == (usage_pb2.SERVICE_TYPE_LLM_CHAT, "StreamChat")
    assert (event.status, event.error_reason) == (usage_pb2.USAGE_STATUS_ERROR, "RATE_LIMITED")
    assert (event.user_id, event.api_key_id, event.project) == ("ana", "k1", "demo")
    assert event.refused
    assert not event.quantities
    assert event.latency.ToNanoseconds() == 250_000_000
    began = event.start_time.ToNanoseconds() / 1e9
    assert before - 0.26 < began < time.time() - 0.24
    # The event counts at the end of the call.
    assert first_id_at(event.start_time.ToDatetime(UTC)) < event.event_id
    ((_, user_id, _),) = made.store.waiting.values()
    assert user_id == "ana"
    assert made.figures("antiphon_usage_calls_total", model="", status="error") == 1


async def test_a_call_that_its_caller_ended_is_cancelled() -> None:
    made = Made()
    made.told(cancelled=True, reason="", principal=ANONYMOUS)
    await made.calls.flush()
    (event,) = made.events()
    assert (event.status, event.error_reason) == (usage_pb2.USAGE_STATUS_CANCELLED, "")
    assert (event.user_id, event.api_key_id) == ("", "")


async def test_a_flush_is_one_step_and_none_when_there_is_nothing() -> None:
    class Counting(MemoryOutbox):
        adds = 0

        async def add(self, events: Sequence[Waiting], user_ids: Sequence[str]) -> None:
            self.adds += 1
            await super().add(events, user_ids)

    store = Counting()
    made = Made(store=store)
    await made.calls.flush()
    assert store.adds == 0
    made.told(900)
    await made.calls.flush()
    assert (store.adds, len(store.waiting)) == (1, 900)


async def test_more_than_the_limit_are_counted_and_forgotten() -> None:
    made = Made(limit=10)
    made.told(25)
    await made.calls.flush()
    assert (len(made.store.waiting), made.count("recorded"), made.count("dropped")) == (10, 10, 15)
    # A new second has room again.
    made.told(3)
    await made.calls.flush()
    assert (len(made.store.waiting), made.count("recorded"), made.count("dropped")) == (13, 13, 15)


async def test_a_limit_of_zero_records_nothing() -> None:
    made = Made(limit=0)
    made.told(3)
    await made.calls.flush()
    assert (len(made.store.waiting), made.count("dropped")) == (0, 3)


@pytest.mark.parametrize(("limit", "share"), [(100, 5), (10, 1), (1, 1), (0, 0)])
async def test_callers_without_a_credential_have_a_twentieth(limit: int, share: int) -> None:
    made = Made(limit=limit)
    for flushes in (1, 2):
        made.told(2 * limit, principal=ANONYMOUS)
        await made.calls.flush()
        assert len(made.store.waiting) == flushes * share
        assert made.count("dropped") == flushes * (2 * limit - share)


async def test_callers_without_a_credential_take_no_place_of_others() -> None:
    made = Made(limit=100)
    made.store.away = True
    with capture_logs():
        for _ in range(10):
            made.told(100, principal=ANONYMOUS)
            await made.calls.flush()
        made.told(95)
        made.store.away = False
        await made.calls.flush()
    assert sorted({event.user_id for event in made.events()}) == ["", "ana"]
    assert made.count("recorded") == 100


async def test_while_the_outbox_is_away_they_wait_within_the_limit() -> None:
    made = Made(limit=5)
    made.store.away = True
    with capture_logs() as logs:
        made.told(3)
        for _ in range(4):
            await made.calls.flush()
        made.told(4)
        await made.calls.flush()
        assert made.count("dropped") == 2
        made.store.away = False
        await made.calls.flush()
    assert (len(made.store.waiting), made.count("recorded")) == (5, 5)
    assert [entry["log_level"] for entry in logs] == ["warning", "info"]


async def test_what_comes_during_a_flush_counts_within_the_limit() -> None:
    class Slow(MemoryOutbox):
        gate = asyncio.Event()

        async def add(self, events: Sequence[Waiting], user_ids: Sequence[str]) -> None:
            await self.gate.wait()
            await super().add(events, user_ids)

    store = Slow()
    made = Made(limit=4, store=store)
    made.told(3)
    flush = asyncio.create_task(made.calls.flush())
    await asyncio.sleep(0.01)
    made.told(3)
    assert made.count("dropped") == 2
    store.gate.set()
    await flush
    await made.calls.flush()
    assert len(store.waiting) == 4


class Picky(MemoryOutbox):
    """Fails on events of a project that it can't bear, for a reason that will not pass."""

    adds = 0

    async def add(self, events: Sequence[Waiting], user_ids: Sequence[str]) -> None:
        self.adds += 1
        if any(b"unbearable" in event.payload for event in events):
            raise RuntimeError("a defect")
        await super().add(events, user_ids)


async def test_a_call_that_can_not_be_recorded_takes_no_others_along() -> None:
    made = Made(store=Picky())
    for number in range(1000):
        made.told(project="unbearable" if number in (200, 201, 999) else "demo")
    with capture_logs() as logs:
        await made.calls.flush()
        await made.calls.flush()
    assert (len(made.store.waiting), made.count("recorded"), made.count("dropped")) == (997, 997, 3)
    assert cast(Picky, made.store).adds < 100
    assert len(logs) == 1


async def test_a_question_that_fails_is_its_own_call_s_fault() -> None:
    made = Made()
    made.told(5)
    made.told(question=answers(RuntimeError("a defect")))
    made.told(5)
    made.passed += 10
    with capture_logs():
        await made.calls.flush()
    assert (len(made.store.waiting), made.count("dropped")) == (10, 1)


async def test_a_flush_that_is_broken_off_forgets_nothing() -> None:
    class Stuck(MemoryOutbox):
        stuck = True

        async def add(self, events: Sequence[Waiting], user_ids: Sequence[str]) -> None:
            if self.stuck:
                await asyncio.Event().wait()
            await super().add(events, user_ids)

    store = Stuck()
    made = Made(store=store)
    made.told(3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await made.calls.flush()
    store.stuck = False
    await made.calls.flush()
    assert len(store.waiting) == 3


def answers(*said: bool | Exception | None) -> Any:
    """A question that is answered so, the last answer for ever."""
    left = list(said)

    async def question() -> bool | None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return question


async def test_what_began_after_all_is_not_told() -> None:
    made = Made()
    made.told(question=answers(True))
    made.told(question=answers(False), reason="UNAVAILABLE")
    made.passed += 10
    await made.calls.flush()
    assert [event.error_reason for event in made.events()] == ["UNAVAILABLE"]


async def test_whoever_may_still_be_at_it_is_not_asked_about_at_once() -> None:
    made = Made()
    made.told(question=answers(False))
    await made.calls.flush()
    assert not made.store.waiting
    made.passed += 10
    await made.calls.flush()
    assert len(made.store.waiting) == 1


async def test_what_is_not_known_yet_is_asked_again() -> None:
    made = Made()
    made.told(question=answers(None, None, False))
    made.told()
    made.passed += 10
    for expected in (1, 1, 2, 2):
        await made.calls.flush()
        assert len(made.store.waiting) == expected


async def test_a_store_that_can_not_be_asked_is_asked_again() -> None:
    made = Made()
    made.told(question=answers(Unavailable("away"), Unavailable("away"), True))
    made.told()
    made.passed += 10
    with capture_logs():
        for expected in (0, 0, 1):
            await made.calls.flush()
            assert len(made.store.waiting) == expected


async def test_the_last_flush_asks_and_forgets_what_nobody_will_know() -> None:
    made = Made()
    for said in (True, False, None):
        made.told(question=answers(said))
    await made.calls.flush(last=True)
    await made.calls.flush()
    assert (len(made.store.waiting), made.count("dropped")) == (1, 1)


async def test_calls_are_flushed_as_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made()
    monkeypatch.setattr("services.capabilities.metering.refused.FLUSH_SECONDS", 0.005)
    task = asyncio.create_task(made.calls.run())
    made.told(2)
    end = time.monotonic() + 3
    while len(made.store.waiting) < 2:
        assert time.monotonic() < end
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@given(
    st.lists(st.sampled_from(["call", "nobody", "bad", "flush", "away", "back"]), max_size=60),
    st.integers(1, 50),
)
def test_every_call_is_recorded_once_or_counted_as_dropped(steps: list[str], limit: int) -> None:
    async def check() -> None:
        made, calls = Made(limit=limit, store=Picky()), 0
        whose: dict[str, dict[str, Any]] = {
            "call": {},
            "nobody": {"principal": ANONYMOUS},
            "bad": {"project": "unbearable"},
        }
        for step in steps:
            if step in whose:
                made.told(**whose[step])
                calls += 1
            elif step == "flush":
                await made.calls.flush()
            else:
                made.store.away = step == "away"
        made.store.away = False
        await made.calls.flush()
        assert len(made.store.waiting) == made.count("recorded")
        assert made.count("recorded") + made.count("dropped") == calls

    with capture_logs():
        asyncio.run(check())
