"""StartChat, WatchGeneration, FindGeneration and CancelGeneration, as their callers meet them."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.capabilities.upstream.errors import UnsupportedInput
from services.chat.errors import EventsPruned, ModelNotFound, SeqOutOfRange
from services.chat.model import (
    FinishReason,
    Message,
    ReasoningDelta,
    Role,
    Started,
    State,
    TextDelta,
    ToolCallDelta,
    title_of,
)
from services.kernel.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from services.kernel.principal import Principal
from tests.fakes.chat_play import (
    ALICE,
    ANONYMOUS,
    BOB,
    Chat,
    SlowStore,
    a_call,
    chat,
    finished,
    is_dense,
    until,
    words,
)


def claimed(digest: bytes = b"d") -> dict[str, Any]:
    return {"request_id": str(uuid.uuid4()), "digest": digest}


async def answered(it: Chat, text: str = "Hola", principal: Principal = ALICE, **changes: Any) -> str:
    """A generation, Alice's or another one's, that has ended well."""
    id_ = await it.begin(principal, **changes)
    it.play.say(text)
    it.play.finish()
    await it.ended(id_)
    return id_


async def test_the_first_event_names_everything() -> None:
    async with chat() as it:
        id_ = await answered(it)
        first = (await it.read(id_))[0]
        stored = await it.stored(id_)
        assert first.body == Started(id_, stored.session_id, stored.message_id, "scripted")
        assert stored.session_id
        assert (stored.project, stored.provider, stored.operation) == ("demo", "test", "StreamChat")


async def test_a_call_of_nobody_is_for_no_project() -> None:
    async with chat() as it:
        assert (await it.stored(await answered(it, principal=ANONYMOUS))).project == ""


async def test_the_same_request_attaches_to_the_generation_that_runs() -> None:
    async with chat() as it:
        claim = claimed()
        id_ = await it.begin(**claim)
        it.play.say("one ")
        assert await it.start(ALICE, a_call(**claim), None) == id_
        second = asyncio.create_task(it.read(id_))
        it.play.say("two")
        it.play.finish()
        assert words(await second) == "one two"
        assert len(it.provider.plays) == 1


async def test_the_same_request_replays_what_has_ended() -> None:
    async with chat() as it:
        claim = claimed()
        id_ = await answered(it, **claim)
        assert await it.start(ALICE, a_call(**claim), None) == id_
        events = await it.read(id_)
        assert words(events) == "Hola"
        assert finished(events).reason is FinishReason.STOP
        assert len(it.provider.plays) == 1


async def test_the_same_request_id_with_another_body_is_refused() -> None:
    async with chat() as it:
        claim = claimed()
        await answered(it, **claim)
        with pytest.raises(AlreadyExists) as refused:
            await it.start(ALICE, a_call(**{**claim, "digest": b"other"}), None)
        assert refused.value.reason == "REQUEST_ID_REUSED"
        await it.begin(BOB, **claim)


async def test_many_calls_with_one_request_id_make_one_generation() -> None:
    async with chat() as it:
        claim = claimed()
        ids = await asyncio.gather(*(it.start(ALICE, a_call(**claim), None) for _ in range(8)))
        assert len(set(ids)) == 1
        await until(lambda: it.provider.plays)
        assert len(it.generations) == len(it.provider.plays) == 1


async def test_an_anonymous_caller_has_no_session_and_needs_its_token() -> None:
    async with chat() as it:
        id_ = await it.begin(ANONYMOUS)
        token = it.tokens.make(id_)
        assert (await it.find(ANONYMOUS, id_, token)).session_id == ""
        for principal, wrong in ((ANONYMOUS, ""), (ANONYMOUS, it.tokens.make("other")), (BOB, token[:-1])):
            with pytest.raises(NotFound):
                await it.find(principal, id_, wrong)
            with pytest.raises(NotFound):
                await it.cancel(principal, id_, wrong)
        assert not it.play.closed
        assert (await it.cancel(ANONYMOUS, id_, token)).state is State.CANCELLED


async def test_an_anonymous_request_id_has_to_be_random() -> None:
    async with chat() as it:
        with pytest.raises(InvalidArgument):
            await it.start(ANONYMOUS, a_call(request_id=str(uuid.uuid1()), digest=b"d"), None)
        await it.begin(ANONYMOUS, **claimed())


@pytest.mark.parametrize("running", [True, False])
async def test_what_belongs_to_somebody_else_cannot_be_told_from_what_is_absent(running: bool) -> None:
    async with chat() as it:
        id_ = await it.begin() if running else await answered(it)
        told = []
        for asked in (id_, str(uuid.uuid4())):
            with pytest.raises(NotFound) as refused:
                await it.find(BOB, asked, it.tokens.make(asked))
            told.append(refused.value.message.replace(asked, "ID"))
        assert told[0] == told[1]


async def test_a_session_of_somebody_else_is_not_found() -> None:
    async with chat() as it:
        session_id = (await it.stored(await answered(it))).session_id
        for principal in (BOB, ANONYMOUS):
            with pytest.raises(NotFound):
                await it.start(principal, a_call(session_id=session_id), None)


async def test_an_unknown_model_is_named() -> None:
    async with chat() as it:
        with pytest.raises(ModelNotFound) as refused:
            await it.start(ALICE, a_call(model="gpt-99"), None)
        assert "gpt-99" in refused.value.message


async def test_a_conversation_opens_no_session_and_has_to_end_with_what_is_to_be_answered() -> None:
    async with chat() as it:
        turns = (Message("", Role.USER, ("hi",)), Message("", Role.ASSISTANT, ("hello",)))
        with pytest.raises(UnsupportedInput):
            await it.start(ALICE, a_call(message=None, conversation=turns), None)
        id_ = await it.begin(message=None, conversation=(*turns, turns[0]))
        assert [message.text for message in it.play.call.messages] == ["hi", "hello", "hi"]
        assert (await it.find(ALICE, id_, "")).session_id == ""


async def test_a_session_remembers_its_turns_and_its_prompt() -> None:
    async with chat() as it:
        first = await answered(it, system_prompt="be brief")
        session_id = (await it.stored(first)).session_id
        await it.begin(session_id=session_id, message="and now?")
        assert [(m.role, m.text) for m in it.play.call.messages] == [
            (Role.SYSTEM, "be brief"),
            (Role.USER, "¿Qué es una orden inbound?"),
            (Role.ASSISTANT, "Hola"),
            (Role.USER, "and now?"),
        ]


async def test_concurrent_calls_in_one_session_are_all_answered_and_keep_their_order() -> None:
    async with chat() as it:
        session_id = (await it.stored(await answered(it))).session_id
        ids = [await it.begin(session_id=session_id, message=f"question {n}") for n in range(4)]
        assert it.play.call.messages[-1].text.endswith("question 3")
        for number, play in reversed(list(enumerate(it.provider.plays[1:]))):
            play.say(f"answer {number}")
            play.finish()
            await it.ended(ids[number])
        found = await it.store.context(session_id, "alice", 100)
        assert found is not None
        in_order = sorted(found[1], key=lambda message: message.message_id)
        assert [message.text for message in in_order][2:] == [
            text for n in range(4) for text in (f"question {n}", f"answer {n}")
        ]


async def test_a_running_generation_can_be_resumed_from_every_event() -> None:
    async with chat() as it:
        id_ = await it.begin()
        for seq, word in enumerate(("a", "b", "c"), 2):
            it.play.say(word)
            await it.durable(id_, seq)
        with pytest.raises(SeqOutOfRange) as refused:
            await it.read(id_, 9)
        assert refused.value.metadata == {"generation_id": id_, "last_seq": "4"}
        resumed = [asyncio.create_task(it.read(id_, after)) for after in range(5)]
        await asyncio.sleep(0)
        it.play.finish()
        for after, reading in enumerate(resumed):
            events = await reading
            assert is_dense(events, after)
            assert words(events) == "abc"[max(after - 1, 0) :]


async def test_a_finished_generation_can_be_resumed_up_to_its_end() -> None:
    async with chat() as it:
        id_ = await answered(it)
        last = (await it.read(id_))[-1].seq
        assert await it.read(id_, last) == []
        with pytest.raises(SeqOutOfRange):
            await it.read(id_, last + 1)


async def test_a_position_within_an_event_is_refused_after_the_end_too() -> None:
    async with chat() as it:
        id_ = await it.begin()
        it.play.send([TextDelta("a"), TextDelta("b"), TextDelta("c")])
        await it.durable(id_, 4)
        it.play.finish()
        await it.ended(id_)
        with pytest.raises(SeqOutOfRange):
            await it.read(id_, 2)


async def test_pruned_events_are_answered_from_the_message() -> None:
    async with chat() as it:
        id_ = await it.begin()
        it.play.send([ReasoningDelta("hm"), TextDelta("Hola "), TextDelta("mundo")])
        it.play.send([ToolCallDelta(0, "c", "look", "{"), ToolCallDelta(0, "", "", "}")])
        it.play.finish(FinishReason.TOOL_CALLS)
        before = await it.ended(id_)
        await it.store.prune(timedelta(seconds=-60), 10)
        events = await it.read(id_)
        assert is_dense(events)
        assert events[-1].seq == before.last_seq
        assert isinstance(events[0].body, Started)
        assert finished(events).reason is FinishReason.TOOL_CALLS
        assert [event.body for event in events[1:-1]] == [
            ReasoningDelta("hm"),
            TextDelta("Hola mundo"),
            ToolCallDelta(0, "c", "look", "{}"),
        ]
        assert await it.read(id_, 1) == events[1:]
        assert await it.read(id_, before.last_seq) == []
        with pytest.raises(EventsPruned):
            await it.read(id_, 3)
        with pytest.raises(SeqOutOfRange):
            await it.read(id_, before.last_seq + 1)


async def test_a_generation_of_another_replica_is_followed_to_its_end() -> None:
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        following = asyncio.create_task(other.read(id_))
        owner.play.say("one ")
        await owner.durable(id_, 2)
        assert (await other.find(ALICE, id_, "")).text == "one "
        owner.play.say("two")
        owner.play.finish()
        events = await following
        assert is_dense(events)
        assert words(events) == "one two"
        assert finished(events).reason is FinishReason.STOP


async def test_a_generation_of_another_replica_can_be_cancelled() -> None:
    store = SlowStore()
    async with chat(store) as owner, chat(store) as other:
        id_ = await owner.begin()
        keeping = asyncio.create_task(owner.keeper.run(owner.generations))
        keeper_ttl = owner.keeper
        object.__setattr__(keeper_ttl, "_ttl", timedelta(seconds=0.2))
        try:
            ended = await other.cancel(ALICE, id_, "")
        finally:
            keeping.cancel()
        assert ended.state is State.CANCELLED
        assert owner.play.closed


async def test_a_generation_whose_replica_died_is_told_as_interrupted() -> None:
    store = SlowStore()
    async with chat(store) as dead, chat(store) as other:
        id_ = await dead.begin()
        dead.play.say("half")
        await dead.durable(id_, 2)
        following = asyncio.create_task(other.read(id_))
        await dead.generations.close()
        await dead.keeper.release()
        await other.keeper.take_over(other.generations)
        with pytest.raises(Aborted) as told:
            await following
        assert told.value.reason == "GENERATION_INTERRUPTED"


async def test_a_store_without_the_generation_says_so() -> None:
    async with chat() as it:
        with pytest.raises(NotFound):
            await it.read(str(uuid.uuid4()))


async def test_events_that_are_pruned_while_they_are_read_do_not_pass_for_an_end() -> None:
    class Racing(SlowStore):
        async def events(self, generation_id: str, after_seq: int, limit: int) -> list[object]:  # type: ignore[override]
            return [] if after_seq >= 1 else list(await super().events(generation_id, after_seq, 1))

    async with chat(Racing()) as it:
        id_ = await it.begin()
        it.play.say("Hola")
        it.play.finish()
        await until(lambda: it.generations.live(id_) is None)
        with pytest.raises(EventsPruned):
            await it.read(id_)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  ¿Qué\nes   esto? ", "¿Qué es esto?"),
        ("palabra " * 20, "palabra palabra palabra palabra palabra palabra palabra…"),
        ("x" * 100, "x" * 60 + "…"),
        ("\x1b[31mred\u202e and\x9b blue\0", "[31mred and blue"),
    ],
)
def test_a_title_is_made_of_the_first_words(text: str, title: str) -> None:
    assert title_of(text) == title


def test_a_call_is_a_value() -> None:
    assert replace(a_call(), project="demo") == a_call()
