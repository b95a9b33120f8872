"""What Chat says that it did, for whoever compares it with what the meter was told."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.capabilities.identity.providers.service import ServiceTokens
from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import SECRET, Person, Served, failure, told

pytestmark = pytest.mark.asyncio(loop_scope="module")


def service() -> Any:
    # Such a token lives for a minute, and other tests may run before this one.
    return ServiceTokens(SECRET, "analytics").metadata()


def stamp(time: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(time)
    return made


def summary(suite: Served, start: datetime, end: datetime) -> Any:
    request = chat_pb2.SummarizeUsageRequest(start_time=stamp(start), end_time=stamp(end))
    return suite.chat.SummarizeUsage(request, metadata=service())


def added_up(events: list[usage_pb2.UsageEvent]) -> dict[tuple[str, str, int], tuple[int, dict[int, int]]]:
    sums: dict[tuple[str, str, int], tuple[int, Counter[int]]] = {}
    for event in events:
        count, amounts = sums.setdefault((event.user_id, event.model, event.status), (0, Counter()))
        amounts.update({quantity.unit: quantity.amount for quantity in event.quantities})
        sums[event.user_id, event.model, event.status] = count + 1, amounts
    return {key: (count, dict(amounts)) for key, (count, amounts) in sums.items()}


async def test_the_sums_are_those_of_the_meter(suite: Served, model: Stage, ana: Person, ben: Person) -> None:
    start = datetime.now(UTC) - timedelta(minutes=1)
    for person in (ana, ana, ben, None):
        for name in ("scripted", "echo", "away"):
            request = chat_pb2.StreamChatRequest(message="Hola", model=name)
            events, _ = await told(
                suite.chat.StreamChat(request, metadata=person.metadata if person else None)
            )
            # What a person deletes was used nevertheless.
            if person is ben and events:
                await suite.chat.DeleteSession(
                    chat_pb2.DeleteSessionRequest(session_id=events[0].started.session_id),
                    metadata=ben.metadata,
                )
    end = datetime.now(UTC) + timedelta(minutes=1)
    found = await suite.rows("select payload from chat.outbox")
    metered = [usage_pb2.UsageEvent.FromString(payload) for (payload,) in found]
    response = await summary(suite, start, end)
    assert response.event_count == len(metered) == 12
    assert {
        (one.user_id, one.model, one.status): (
            one.event_count,
            {quantity.unit: quantity.amount for quantity in one.quantities},
        )
        for one in response.summaries
    } == added_up(metered)
    assert {one.status for one in response.summaries} == {
        usage_pb2.USAGE_STATUS_SUCCESS,
        usage_pb2.USAGE_STATUS_ERROR,
    }
    # Two halves are the whole.
    middle = start + (end - start) / 2
    halves = [await summary(suite, start, middle), await summary(suite, middle, end)]
    assert sum(half.event_count for half in halves) == 12
    before = await summary(suite, start - timedelta(days=1), start)
    assert (before.event_count, list(before.summaries)) == (0, [])


async def test_the_span_has_a_beginning_an_end_and_a_bound(suite: Served) -> None:
    now = datetime.now(UTC)
    for start, end in (
        (now, now),
        (now, now - timedelta(seconds=1)),
        (now - timedelta(days=32, seconds=1), now),
    ):
        found = await failure(summary(suite, start, end))
        assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
        assert list(found.fields) == ["end_time"]
    assert (await summary(suite, now - timedelta(days=32), now)).event_count >= 0
    far = chat_pb2.SummarizeUsageRequest(start_time=stamp(now), end_time=Timestamp(seconds=10**15))
    found = await failure(suite.chat.SummarizeUsage(far, metadata=service()))
    assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert list(found.fields) == ["end_time"]


async def test_more_sums_than_a_response_holds_are_asked_for_in_parts(suite: Served) -> None:
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)
    await suite.rows(
        "insert into chat.generations (generation_id, message_id, user_id, api_key_id, input_tokens_estimate, caller, operation,"
        " project, model, provider, state, last_seq, owner_id, epoch, created_at, ended_at, event_id, event_status, quantities)"
        " select gen_random_uuid(), gen_random_uuid(), 'person ' || n, '', 1, 'x', 'Chat', '', 'echo', 'echo', 'completed', 2,"
        " gen_random_uuid(), 1, now(), now(), ('016f5e66-e800-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1,"
        " '{1,2,3,4,5,6,7}' from generate_series(1, 10001) n returning 1"
    )
    found = await failure(summary(suite, start, end))
    assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert list(found.fields) == ["end_time"]
    await suite.rows("delete from chat.generations where user_id = 'person 1' returning 1")
    response = await summary(suite, start, end)
    assert response.event_count == len(response.summaries) == 10_000
    assert response.ByteSize() < 4 * 1024**2
