"""What callers get wrong: each mistake has its code, its reason and its field, nothing of it is stored, and the server goes on."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from antiphon.chat.v1 import chat_pb2

from tests.fakes.chat_stage import Stage
from tests.fakes.mistakes import CHAT, MISTAKES
from tests.fakes.served_suite import (
    Failed,
    Person,
    Served,
    events_of,
    failed,
    failure,
    finished,
    somebody,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHALLOW = "[" * 30 + "]" * 30


def raw(suite: Served, rpc: str, data: bytes, metadata: Any, **more: Any) -> Any:
    """A call that sends these bytes."""
    streams = rpc.endswith(("StreamChat", "ResumeStream"))
    call: Any = (suite.channel.unary_stream if streams else suite.channel.unary_unary)(
        f"/{rpc}", lambda _: data, lambda answer: answer
    )
    return call(b"", metadata=metadata, timeout=20, **more)


@pytest_asyncio.fixture(loop_scope="module")
async def unharmed(suite: Served, model: Stage) -> AsyncIterator[None]:
    """Afterwards nothing was stored or asked of a model, nothing runs, and the next call is answered."""
    before = await suite.stored()
    yield
    assert await suite.stored() == before
    assert not model.exchanges
    assert not suite.suite.server.calls_in_progress
    response = await suite.chat.Chat(
        chat_pb2.ChatRequest(message="Hola", model="echo"), metadata=somebody().metadata
    )
    assert response.generation.text.endswith("Hola")


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.usefixtures("unharmed")
async def test_a_mistake_is_explained(suite: Served, ana: Person, name: str) -> None:
    mistake = MISTAKES[name]
    found = await failure(raw(suite, mistake.rpc, mistake.data, ana.metadata))
    assert found.what == (mistake.code, mistake.reason), found
    assert set(found.fields) == set(mistake.fields)
    assert len(found.fields) == len(mistake.fields)
    assert found.text
    assert found.request_id
    for field in mistake.fields[:5]:
        assert field.partition("[")[0] in found.text


@pytest.mark.usefixtures("unharmed")
async def test_a_hundred_mistakes_at_once(suite: Served, ana: Person) -> None:
    picked = list(MISTAKES.values())[:100]
    answers = await asyncio.gather(
        *(failure(raw(suite, mistake.rpc, mistake.data, ana.metadata)) for mistake in picked)
    )
    assert [answer.what for answer in answers] == [(mistake.code, mistake.reason) for mistake in picked]


@pytest.mark.usefixtures("unharmed")
async def test_hundreds_of_violations_fit_into_an_answer(suite: Served, ana: Person) -> None:
    messages = [chat_pb2.Message(role=99, finish_reason=99, message_id="x" * 65)] * 200  # type: ignore[arg-type]
    request = chat_pb2.StreamChatRequest(conversation=chat_pb2.Conversation(messages=messages))
    found = await failure(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert 10 <= len(found.fields) <= 100
    assert found.fields[0].startswith("conversation.messages[0].")
    assert found.text.endswith("; and more than 95 more")


@pytest.mark.usefixtures("unharmed")
async def test_a_list_that_is_far_too_long_is_refused_for_its_length_alone(suite: Served) -> None:
    # Each of them breaks a rule as well, and naming them all takes seconds in which nobody else is answered.
    messages = [chat_pb2.Message()] * 320_000
    request = chat_pb2.StreamChatRequest(conversation=chat_pb2.Conversation(messages=messages))
    used = time.process_time()
    found = await failure(suite.chat.StreamChat(request))
    assert time.process_time() - used < 2
    assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert found.fields == ("conversation.messages",)
    assert "1024" in found.text


async def test_a_caller_from_another_version_is_understood(suite: Served, model: Stage, ana: Person) -> None:
    # Fields that this server does not know are for a server that does.
    data = chat_pb2.StreamChatRequest(message="Hola").SerializeToString() + b"\xba\x3e\x03new"
    answers = await finished(raw(suite, f"{CHAT}/StreamChat", data, ana.metadata))
    events = [chat_pb2.StreamChatResponse.FromString(answer).event for answer in answers]
    assert words(events) == "Bien, gracias."


async def test_odd_and_allowed_input_is_answered_as_it_is(suite: Served, ana: Person) -> None:
    odd = "\u202e 👩‍👩‍👧 \u0301 ' \" \\ %s %(x)s {} $1 \x01\x7f\ufeff\ufffe\U0010ffff '; drop table chat.sessions; --"
    request = chat_pb2.StreamChatRequest(
        message=odd, model="echo", project=odd[:100], request_id=str(uuid.uuid4()).upper()
    )
    events = await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert words(events).endswith(odd)
    listed_ = await suite.chat.ListSessions(
        chat_pb2.ListSessionsRequest(project=odd[:100]), metadata=ana.metadata
    )
    assert listed_.total_size == 1
    messages = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=listed_.sessions[0].session_id.upper()), metadata=ana.metadata
    )
    assert messages.messages[1].parts[0].text == odd


async def test_a_schema_at_the_limits_reaches_the_model(suite: Served, model: Stage, ana: Person) -> None:
    schema = f'{{"a": {SHALLOW}, "n": {"9" * 400}, "e": 1e999}}'
    request = chat_pb2.ChatRequest(message="Hola", parameters=chat_pb2.Parameters(json_schema=schema))
    assert (await suite.chat.Chat(request, metadata=ana.metadata)).generation.text == "Bien, gracias."
    assert schema.encode() in model.exchanges[0].body


async def test_the_same_mistake_twice_is_told_alike(suite: Served, ana: Person) -> None:
    def told() -> Any:
        return failure(suite.chat.StreamChat(chat_pb2.StreamChatRequest(), metadata=ana.metadata))

    first: Failed = await told()
    second: Failed = await told()
    assert first.request_id != second.request_id
    assert (first.what, first.text, first.fields) == (second.what, second.text, second.fields)


async def test_a_repeated_mistake_holds_no_request_id(suite: Served, model: Stage, ana: Person) -> None:
    request_id = str(uuid.uuid4())
    wrong = chat_pb2.StreamChatRequest(message="", request_id=request_id)
    unready = chat_pb2.StreamChatRequest(message="Hola", request_id=request_id, model="locked")
    for request in (wrong, unready):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
        assert failed(refused.value).reason in ("INVALID_ARGUMENT", "MODEL_NOT_READY")
    right = chat_pb2.StreamChatRequest(message="Hola", request_id=request_id)
    assert words(await events_of(suite.chat.StreamChat(right, metadata=ana.metadata))) == "Bien, gracias."
