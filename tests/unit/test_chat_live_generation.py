"""What watchers of a generation see, whatever arrives and whenever it becomes durable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capabilities.metering.model import NO_USAGE
from services.chat.errors import SeqOutOfRange
from services.chat.generation.live import LiveGeneration
from services.chat.generation.merging import assembled, merged
from services.chat.model import (
    Delta,
    Ending,
    Event,
    Finished,
    FinishReason,
    Generation,
    ReasoningDelta,
    Started,
    State,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from tests.fakes.chat_play import is_dense

NOW = datetime.now(UTC)

texts = st.text(max_size=5)
deltas = st.one_of(
    st.builds(TextDelta, texts),
    st.builds(ReasoningDelta, texts),
    # As providers send them: a call's id and name come first, then pieces of its arguments.
    st.builds(lambda i: ToolCallDelta(i, f"call_{i}", f"tool_{i}", ""), st.integers(0, 2)),
    st.builds(lambda i, text: ToolCallDelta(i, "", "", text), st.integers(0, 2), texts),
)
steps = st.lists(
    st.one_of(
        st.lists(deltas, min_size=1, max_size=4),
        st.sampled_from(["take", "land", "watch", "breathe"]),
    ),
    max_size=40,
)


def live_generation() -> LiveGeneration:
    generation = Generation("g", "", "m", "", "u", "", "model", "provider", State.RUNNING, NOW)
    return LiveGeneration(generation, Event(1, 1, NOW, Started("g", "", "m", "model")))


def the_end(live: LiveGeneration) -> Ending:
    last = live.last_events(None)
    last += live.last_events(Finished(FinishReason.STOP, "m", NO_USAGE))
    return Ending(
        State.COMPLETED, FinishReason.STOP, None, NO_USAGE, None, last, live.last_seq, "", NOW, False, "", ""
    )


@dataclass
class Watcher:
    """Somebody who watches from a position, and what was seen."""

    live: LiveGeneration
    after_seq: int
    events: list[Event] = field(default_factory=list)

    async def run(self) -> None:
        async with aclosing(self.live.watch(self.after_seq)) as events:  # type: ignore[type-var]
            async for event in events:
                self.events.append(event)


def boundaries(events: Sequence[Event]) -> Iterator[int]:
    yield 0
    yield from (event.seq for event in events)


@settings(max_examples=120, deadline=None)
@given(script=steps, pick=st.randoms(use_true_random=False))
def test_every_watcher_sees_the_same_record_dense_and_durable(script: list[object], pick: Random) -> None:
    asyncio.run(_play(script, pick))


async def _play(script: list[object], pick: Random) -> None:
    live = live_generation()
    added: list[Delta] = []
    durable = 1
    in_flight: list[Event] | None = None
    watchers = [Watcher(live, 0)]
    tasks = [asyncio.create_task(watchers[0].run())]
    for step in script:
        if isinstance(step, list):
            added += step
            live.add(step)
        elif step == "take" and in_flight is None and live.has_pending:
            in_flight = live.take()
        elif step == "land" and in_flight is not None:
            live.committed(in_flight)
            durable, in_flight = in_flight[-1].seq, None
        elif step == "watch":
            # Whatever seq anybody was sent is a position to go on from.
            after_seq = pick.choice(list(boundaries(pick.choice(watchers).events)))
            watchers.append(Watcher(live, after_seq))
            tasks.append(asyncio.create_task(watchers[-1].run()))
        elif step == "breathe":
            for _ in range(3):
                await asyncio.sleep(0)
        assert all(event.seq <= durable for watcher in watchers for event in watcher.events)
        assert live.snapshot().last_seq == durable
    if in_flight is not None:
        live.committed(in_flight)
    live.ended(the_end(live))
    await asyncio.gather(*tasks)
    whole = assembled(Event(2, 2, NOW, delta) for delta in added)
    for watcher in watchers:
        assert is_dense(watcher.events, watcher.after_seq)
        assert watcher.events or watcher.after_seq == live.last_seq
    assert assembled(watchers[0].events) == whole
    assert isinstance(watchers[0].events[-1].body, Finished)
    assert live.last_seq == 2 + len(added)
    # And each of those seqs is one from which the rest of the same record follows.
    for boundary in {seq for watcher in watchers for seq in boundaries(watcher.events)}:
        late = Watcher(live, boundary)
        await late.run()
        assert is_dense(late.events, boundary)
        before = [event for event in watchers[0].events if event.seq <= boundary]
        if not before or before[-1].seq == boundary:
            assert assembled([*before, *late.events]) == whole


@settings(max_examples=100, deadline=None)
@given(st.lists(deltas, max_size=30))
def test_merging_changes_nothing_but_the_number_of_events(many: list[Delta]) -> None:
    events = [Event(seq, seq, NOW, delta) for seq, delta in enumerate(many, 1)]
    fewer = merged(events)
    assert is_dense(fewer)
    assert assembled(fewer) == assembled(events)
    assert len(fewer) <= len(events)
    assert {event.seq for event in fewer} <= {event.seq for event in events}


@pytest.mark.parametrize("after_seq", [-1, 3, 5, 99])
async def test_a_position_within_an_event_is_out_of_range(after_seq: int) -> None:
    live = live_generation()
    live.add([TextDelta("one "), TextDelta("two "), TextDelta("three")])
    live.committed(live.take())
    with pytest.raises(SeqOutOfRange) as refused:
        await Watcher(live, after_seq).run()
    assert refused.value.metadata["last_seq"] == "4"


async def test_what_is_not_durable_yet_is_no_position() -> None:
    live = live_generation()
    live.add([TextDelta("one")])
    live.take()
    with pytest.raises(SeqOutOfRange):
        await Watcher(live, 2).run()


async def test_tool_calls_that_come_in_turns_are_put_together_by_their_index() -> None:
    live = live_generation()
    live.add([ToolCallDelta(0, "call_a", "first", ""), ToolCallDelta(0, "", "", '{"x"')])
    live.add([ToolCallDelta(1, "call_b", "second", "{"), ToolCallDelta(0, "", "", ":1}")])
    live.committed(live.take())
    live.add([ToolCallDelta(1, "", "", "}")])
    live.committed(live.take())
    assert live.snapshot().tool_calls == (
        ToolCall("call_a", "first", '{"x":1}'),
        ToolCall("call_b", "second", "{}"),
    )


async def test_the_end_waits_for_a_flush_that_began_right_after_another_one_landed() -> None:
    live = live_generation()
    live.add([TextDelta("one")])
    first = live.take()
    waiting = asyncio.create_task(live.settled())
    await asyncio.sleep(0)
    live.add([TextDelta(" two")])
    live.committed(first)
    second = live.take()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    live.committed(second)
    await asyncio.wait_for(waiting, 1)


async def test_no_merged_event_outgrows_a_message() -> None:
    live = live_generation()
    for _ in range(40):
        live.add([TextDelta("x" * 50_000), ToolCallDelta(0, "", "", "y" * 50_000)])
        live.add([TextDelta("z" * 50_000)])
    live.committed(live.take())
    live.ended(the_end(live))
    watcher = Watcher(live, 0)
    await watcher.run()
    assert is_dense(watcher.events)
    sizes = [len(event.body.text) for event in watcher.events if isinstance(event.body, TextDelta)]
    assert sum(sizes) == 40 * 100_000
    assert max(sizes) < 1_000_000


async def test_long_names_of_tool_calls_count_for_the_size_of_an_answer() -> None:
    live = live_generation()
    live.add([ToolCallDelta(0, "i" * 1000, "n" * 1000, "")])
    assert live.size_bytes >= 2000


async def test_watchers_are_counted() -> None:
    live, counts = live_generation(), list[int]()
    live.on_watchers = counts.append
    first, second = (asyncio.create_task(Watcher(live, 0).run()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    live.ended(the_end(live))
    await second
    assert counts == [1, 2, 1, 0]
