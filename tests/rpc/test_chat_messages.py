"""Messages that are added without an answer, and found by their ids; tokens that are counted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from services.kernel.ids import new_id
from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import Person, Served, events_of, failure

pytestmark = pytest.mark.asyncio(loop_scope="module")

SYSTEM, USER, ASSISTANT, TOOL = (
    chat_pb2.MESSAGE_ROLE_SYSTEM,
    chat_pb2.MESSAGE_ROLE_USER,
    chat_pb2.MESSAGE_ROLE_ASSISTANT,
    chat_pb2.MESSAGE_ROLE_TOOL,
)
CALL = chat_pb2.ToolCall(tool_call_id="c1", name="weather", arguments_json='{"city":"Lima"}')


def turn(role: Any, *texts: str, **more: Any) -> chat_pb2.Message:
    return chat_pb2.Message(role=role, parts=[chat_pb2.Part(text=text) for text in texts], **more)


async def opened(suite: Served, person: Person, **fields: Any) -> str:
    request = chat_pb2.CreateSessionRequest(**fields)
    return (await suite.chat.CreateSession(request, metadata=person.metadata)).session.session_id


def add(suite: Served, person: Person, session_id: str, message: chat_pb2.Message, **more: Any) -> Any:
    request = chat_pb2.CreateMessageRequest(session_id=session_id, message=message, **more)
    return suite.chat.CreateMessage(request, metadata=person.metadata)


def get(suite: Served, person: Person, message_id: str) -> Any:
    return suite.chat.GetMessage(chat_pb2.GetMessageRequest(message_id=message_id), metadata=person.metadata)


async def title(suite: Served, person: Person, session_id: str) -> str:
    request = chat_pb2.GetSessionRequest(session_id=session_id)
    return (await suite.chat.GetSession(request, metadata=person.metadata)).session.title


async def test_what_was_added_is_what_the_model_reads(suite: Served, model: Stage, ana: Person) -> None:
    session_id = await opened(suite, ana)
    added = [
        (await add(suite, ana, session_id, message)).message
        for message in (
            turn(USER, "Weather in ", "Lima?"),
            turn(ASSISTANT, tool_calls=[CALL]),
            turn(TOOL, "18 °C", tool_call_id="c1"),
            turn(ASSISTANT, "18 degrees."),
        )
    ]
    request = chat_pb2.StreamChatRequest(message="Thanks", session_id=session_id)
    await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert [message["role"] for message in model.exchanges[0].json["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert await title(suite, ana, session_id) == "Weather in Lima?"
    for message in added:
        assert (await get(suite, ana, message.message_id.upper())).message == message
    assert added[1].tool_calls == [CALL]
    assert [part.text for part in added[0].parts] == ["Weather in ", "Lima?"]


async def test_what_only_the_server_says_is_ignored(suite: Served, ana: Person) -> None:
    session_id = await opened(suite, ana)
    claimed = turn(
        USER,
        "Hola",
        message_id=new_id(),
        session_id=new_id(),
        generation_id=new_id(),
        model="gpt",
        finish_reason=chat_pb2.FINISH_REASON_STOP,
    )
    claimed.create_time.FromSeconds(1)
    message = (await add(suite, ana, session_id.upper(), claimed)).message
    assert message.message_id != claimed.message_id
    assert message.session_id == session_id
    assert (message.generation_id, message.model) == ("", "")
    assert message.finish_reason == chat_pb2.FINISH_REASON_UNSPECIFIED
    assert message.create_time.seconds > 1_000_000_000
    session = await suite.chat.GetSession(
        chat_pb2.GetSessionRequest(session_id=session_id), metadata=ana.metadata
    )
    assert session.session.update_time == message.create_time


@pytest.mark.parametrize(
    ("message", "field", "reason"),
    [
        (turn(USER), "message.parts", "INVALID_ARGUMENT"),
        (turn(USER, " \n"), "message.parts", "INVALID_ARGUMENT"),
        (turn(ASSISTANT), "message.parts", "INVALID_ARGUMENT"),
        (turn(ASSISTANT, ""), "message.parts", "INVALID_ARGUMENT"),
        (turn(SYSTEM, "", ""), "message.parts", "INVALID_ARGUMENT"),
        (turn(USER, "a", "b\0"), "message.parts[1].text", "INVALID_ARGUMENT"),
        (turn(TOOL, "18 °C"), "message.tool_call_id", "INVALID_ARGUMENT"),
        (turn(USER, "Hola", tool_call_id="c"), "message.tool_call_id", "INVALID_ARGUMENT"),
        (turn(USER, "Hola", tool_calls=[CALL]), "message.tool_calls", "INVALID_ARGUMENT"),
        (
            turn(ASSISTANT, tool_calls=[chat_pb2.ToolCall(name="a\0")]),
            "message.tool_calls[0].name",
            "INVALID_ARGUMENT",
        ),
        (
            chat_pb2.Message(
                role=ASSISTANT,
                parts=[chat_pb2.Part(text="Look"), chat_pb2.Part(image=chat_pb2.Image(uri="https://a.b/c"))],
            ),
            "message.parts[1].image",
            "UNSUPPORTED_INPUT",
        ),
        (turn(USER, *(["x" * 900_000] * 4)), "message", "INVALID_ARGUMENT"),
    ],
)
async def test_what_can_not_be_kept_is_named(
    suite: Served, ana: Person, message: chat_pb2.Message, field: str, reason: str
) -> None:
    session_id = await opened(suite, ana)
    found = await failure(add(suite, ana, session_id, message))
    assert found.what == ("INVALID_ARGUMENT", reason)
    assert list(found.fields) == [field]
    assert await title(suite, ana, session_id) == ""


async def test_a_tool_may_have_nothing_to_say(suite: Served, ana: Person) -> None:
    session_id = await opened(suite, ana)
    for message in (turn(ASSISTANT, "", tool_calls=[CALL]), turn(TOOL, "", tool_call_id="c1")):
        added = (await add(suite, ana, session_id, message)).message
        assert [part.text for part in added.parts] == [""]


async def test_a_repeated_call_adds_one_message(suite: Served, ana: Person) -> None:
    session_id, request_id = await opened(suite, ana), str(uuid.uuid4())
    made = await asyncio.gather(
        *(add(suite, ana, session_id, turn(USER, "Hola"), request_id=request_id) for _ in range(5))
    )
    assert len({one.message.message_id for one in made}) == 1
    found = await failure(add(suite, ana, session_id, turn(USER, "Adiós"), request_id=request_id))
    assert found.what == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    listed = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=session_id), metadata=ana.metadata
    )
    assert list(listed.messages) == [made[0].message]


async def test_messages_of_others_look_like_none(
    suite: Served, model: Stage, ana: Person, ben: Person
) -> None:
    session_id, absent = await opened(suite, ana), new_id()
    message_id = (await add(suite, ana, session_id, turn(USER, "Hola"))).message.message_id
    calls: tuple[tuple[str, Callable[[str], Any]], ...] = (
        (session_id, lambda id_: add(suite, ben, id_, turn(USER, "Hola"))),
        (message_id, lambda id_: get(suite, ben, id_)),
    )
    for theirs, call in calls:
        found, none = await failure(call(theirs)), await failure(call(absent))
        assert found.what == none.what == ("NOT_FOUND", "NOT_FOUND")
        assert found.text.replace(theirs, "ID") == none.text.replace(absent, "ID")
        assert (found.metadata, found.retry, found.fields) == (none.metadata, none.retry, none.fields)
    administrator = Person("", await suite.administrator())
    assert (await failure(get(suite, administrator, message_id))).what == ("NOT_FOUND", "NOT_FOUND")


async def test_the_answer_to_a_conversation_is_its_callers(
    suite: Served, model: Stage, ana: Person, ben: Person
) -> None:
    request = chat_pb2.ChatRequest(conversation=chat_pb2.Conversation(messages=[turn(USER, "Hola")]))
    made = (await suite.chat.Chat(request, metadata=ana.metadata)).generation
    message = (await get(suite, ana, made.message_id)).message
    assert (message.parts[0].text, message.session_id) == ("Bien, gracias.", "")
    assert message.generation_id == made.generation_id
    assert (await failure(get(suite, ben, made.message_id))).what == ("NOT_FOUND", "NOT_FOUND")
    nobodys = (await suite.chat.Chat(request)).generation
    assert (await failure(get(suite, ana, nobodys.message_id))).what == ("NOT_FOUND", "NOT_FOUND")


async def test_a_session_without_a_title_gets_it_from_the_first_message(
    suite: Served, model: Stage, ana: Person
) -> None:
    untitled, titled = await opened(suite, ana), await opened(suite, ana, title="Mine")
    for message in ("First\nof all", "Then"):
        for session_id in (untitled, titled):
            request = chat_pb2.StreamChatRequest(message=message, session_id=session_id)
            await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert await title(suite, ana, untitled) == "First of all"
    assert await title(suite, ana, titled) == "Mine"


async def test_tokens_are_estimated(suite: Served, ana: Person) -> None:
    def count(*messages: chat_pb2.Message, **more: Any) -> Any:
        conversation = chat_pb2.Conversation(messages=messages)
        return suite.chat.CountTokens(chat_pb2.CountTokensRequest(conversation=conversation, **more))

    short = await count(turn(USER, "Hola"))
    assert short.model == "scripted"
    assert short.provenance == usage_pb2.PROVENANCE_ESTIMATED
    assert 0 < short.input_tokens < 20
    assert 0 < short.error_percent < 100
    long = await count(turn(USER, "Hola " * 1000), model="echo", system_prompt="Be brief.")
    assert long.model == "echo"
    assert long.input_tokens > 500
    # A model that is not ready can be counted for.
    assert (await count(turn(USER, "Hola"), model="locked")).model == "locked"
    found = await failure(count(turn(USER, "Hola"), model="nobody's"))
    assert found.what == ("NOT_FOUND", "MODEL_NOT_FOUND")
    picture = chat_pb2.Part(image=chat_pb2.Image(uri="https://a.b/c"))
    seen = await count(chat_pb2.Message(role=USER, parts=[picture, chat_pb2.Part(text="Hola")]))
    assert seen.input_tokens > short.input_tokens + 500
