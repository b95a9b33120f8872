"""Records whose events were removed are told by their messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chat.errors import EventsPruned
from services.chat.model import (
    Event,
    Fallback,
    Finished,
    ReasoningDelta,
    Started,
    State,
    TextDelta,
)
from services.chat.usecases.generations import _from_message
from tests.fakes.chat_play import ALICE, Chat, chat, is_dense, words
from tests.fakes.chat_records import USAGE, completed, new_generation


async def pruned(it: Chat, id_: str) -> None:
    await it.ended(id_)
    assert await it.store.prune(timedelta(seconds=-60), 10) == 1


async def test_the_model_that_was_asked_and_the_one_that_answered_are_both_told() -> None:
    async with chat() as it:
        id_ = await it.begin()
        live = it.generations.live(id_)
        assert live is not None
        live.fall_back(Fallback("other", "elsewhere", "scripted", "PROVIDER_UNAVAILABLE"))
        it.play.say("Ho", "la")
        it.play.finish()
        await pruned(it, id_)
        events = await it.read(id_)
        assert is_dense(events)
        assert isinstance(events[0].body, Started)
        assert events[0].body.model == "scripted"
        assert events[1].body == Fallback("other", "elsewhere", "scripted", "")
        assert words(events) == "Hola"
        assert isinstance(events[-1].body, Finished)
        with pytest.raises(EventsPruned):
            await it.read(id_, 2)
        assert (await it.find(ALICE, id_, "")).model == "other"


@given(
    fell_back=st.booleans(),
    reasoning=st.integers(0, 3),
    said=st.integers(0, 3),
    is_finished=st.booleans(),
)
def test_positions_are_dense_and_end_where_the_record_ended(
    fell_back: bool, reasoning: int, said: int, is_finished: bool
) -> None:
    new = new_generation()
    ending = completed(new, 9, "")
    last_seq = 1 + fell_back + reasoning + said + is_finished
    generation = replace(
        new.generation,
        model="other" if fell_back else "echo",
        requested_model="echo",
        state=State.COMPLETED if is_finished else State.FAILED,
        finish_reason=ending.finish_reason if is_finished else None,
        usage=USAGE,
        reasoning="r" * reasoning,
        text="t" * said,
        last_seq=last_seq,
    )
    events: list[Event] = _from_message(generation, 0)
    assert is_dense(events)
    assert events[-1].seq == last_seq
    kinds = [type(event.body) for event in events]
    assert kinds[0] is Started
    assert (Fallback in kinds, ReasoningDelta in kinds, Finished in kinds) == (
        fell_back,
        bool(reasoning),
        is_finished,
    )
    assert sum(kind is TextDelta for kind in kinds) == bool(said)
