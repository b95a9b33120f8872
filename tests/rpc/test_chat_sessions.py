"""Sessions and their messages: what the model remembers, and how lists are paged through."""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.chat_upstream import Exchange, stop, text
from tests.fakes.served_suite import Person, Served, events_of, failure, next_event, until, words

pytestmark = pytest.mark.asyncio(loop_scope="module")


def asked(message: str, **more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(message=message, **more)


def turn(role: chat_pb2.MessageRole, *texts: str, **more: Any) -> chat_pb2.Message:
    return chat_pb2.Message(role=role, parts=[chat_pb2.Part(text=text) for text in texts], **more)


async def sessions(suite: Served, person: Person, **request: Any) -> chat_pb2.ListSessionsResponse:
    return await suite.chat.ListSessions(chat_pb2.ListSessionsRequest(**request), metadata=person.metadata)


async def created(suite: Served, person: Person, count: int, **fields: Any) -> list[str]:
    """Ids of new sessions, newest first."""
    found = []
    for number in range(count):
        request = chat_pb2.CreateSessionRequest(title=f"Session {number}", **fields)
        response = await suite.chat.CreateSession(request, metadata=person.metadata)
        found.append(response.session.session_id)
    return found[::-1]


async def test_the_model_reads_the_whole_session_and_its_system_prompt(
    suite: Served, model: Stage, ana: Person
) -> None:
    first = await events_of(
        suite.chat.StreamChat(
            asked("¿Cómo estás?", system_prompt="Contesta breve.", project="hola"), metadata=ana.metadata
        )
    )
    session_id = first[0].started.session_id
    second = asked("¿Y tu familia?", session_id=session_id.upper())
    await events_of(suite.chat.StreamChat(second, metadata=ana.metadata))
    third = chat_pb2.ChatRequest(message="¿Y ahora?", session_id=session_id, system_prompt="Contesta largo.")
    await suite.chat.Chat(third, metadata=ana.metadata)
    assert [exchange.json["messages"] for exchange in model.exchanges] == [
        [
            {"role": "system", "content": "Contesta breve."},
            {"role": "user", "content": "¿Cómo estás?"},
        ],
        [
            {"role": "system", "content": "Contesta breve."},
            {"role": "user", "content": "¿Cómo estás?"},
            {"role": "assistant", "content": "Bien, gracias."},
            {"role": "user", "content": "¿Y tu familia?"},
        ],
        [
            {"role": "system", "content": "Contesta largo."},
            {"role": "user", "content": "¿Cómo estás?"},
            {"role": "assistant", "content": "Bien, gracias."},
            {"role": "user", "content": "¿Y tu familia?"},
            {"role": "assistant", "content": "Bien, gracias."},
            {"role": "user", "content": "¿Y ahora?"},
        ],
    ]
    shown = await suite.chat.GetSession(
        chat_pb2.GetSessionRequest(session_id=session_id), metadata=ana.metadata
    )
    session = shown.session
    assert (session.title, session.project, session.system_prompt) == (
        "¿Cómo estás?",
        "hola",
        "Contesta breve.",
    )
    assert session.update_time.ToNanoseconds() > session.create_time.ToNanoseconds()
    assert (await sessions(suite, ana)).sessions == [session]
    listed = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=session_id), metadata=ana.metadata
    )
    assert listed.total_size == 6
    assert [(message.role, message.parts[0].text) for message in listed.messages[::-1]] == [
        (chat_pb2.MESSAGE_ROLE_USER, "¿Cómo estás?"),
        (chat_pb2.MESSAGE_ROLE_ASSISTANT, "Bien, gracias."),
        (chat_pb2.MESSAGE_ROLE_USER, "¿Y tu familia?"),
        (chat_pb2.MESSAGE_ROLE_ASSISTANT, "Bien, gracias."),
        (chat_pb2.MESSAGE_ROLE_USER, "¿Y ahora?"),
        (chat_pb2.MESSAGE_ROLE_ASSISTANT, "Bien, gracias."),
    ]
    answer = listed.messages[-2]
    assert (
        answer.message_id,
        answer.generation_id,
        answer.session_id,
        answer.model,
        answer.finish_reason,
    ) == (
        first[0].started.message_id,
        first[0].started.generation_id,
        session_id,
        "scripted",
        chat_pb2.FINISH_REASON_STOP,
    )


async def test_a_session_keeps_its_model(suite: Served, model: Stage, ana: Person) -> None:
    request = chat_pb2.CreateSessionRequest(model="echo", system_prompt="Be kind.", title=" Named ")
    session = (await suite.chat.CreateSession(request, metadata=ana.metadata)).session
    assert (session.title, session.model, session.user_id) == ("Named", "echo", ana.user_id)
    events = await events_of(
        suite.chat.StreamChat(asked("Hi", session_id=session.session_id), metadata=ana.metadata)
    )
    assert events[0].started.model == "echo"
    other = asked("Hi", session_id=session.session_id, model="scripted")
    events = await events_of(suite.chat.StreamChat(other, metadata=ana.metadata))
    assert events[0].started.model == "scripted"
    assert model.exchanges[0].json["messages"][0] == {"role": "system", "content": "Be kind."}


async def test_a_conversation_is_its_own_context_and_opens_no_session(
    suite: Served, model: Stage, ana: Person
) -> None:
    messages = [
        turn(chat_pb2.MESSAGE_ROLE_SYSTEM, "Be short."),
        turn(chat_pb2.MESSAGE_ROLE_USER, "Weather in ", "Lima?"),
        turn(
            chat_pb2.MESSAGE_ROLE_ASSISTANT,
            tool_calls=[
                chat_pb2.ToolCall(tool_call_id="c1", name="weather", arguments_json='{"city":"Lima"}')
            ],
        ),
        turn(chat_pb2.MESSAGE_ROLE_TOOL, "18 °C", tool_call_id="c1"),
    ]
    before = await suite.stored()
    for person in (ana, None):
        request = chat_pb2.StreamChatRequest(conversation=chat_pb2.Conversation(messages=messages))
        events = await events_of(suite.chat.StreamChat(request, metadata=person.metadata if person else None))
        assert not events[0].started.session_id
        assert words(events) == "Bien, gracias."
        sent = model.exchanges[-1].json["messages"]
        assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool"]
        assert sent[1]["content"] == "Weather in Lima?"
        assert sent[2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Lima"}'}
        assert (sent[3]["tool_call_id"], sent[3]["content"]) == ("c1", "18 °C")
    after = await suite.stored()
    assert after[0] == before[0]
    assert (await sessions(suite, ana)).total_size == 0
    found = await suite.chat.GetGeneration(
        chat_pb2.GetGenerationRequest(
            generation_id=events[0].started.generation_id, resume_token=events[0].started.resume_token
        )
    )
    assert found.generation.text == "Bien, gracias."


async def test_turns_stand_in_the_order_in_which_they_began(suite: Served, model: Stage, ana: Person) -> None:
    session_id = (await created(suite, ana, 1))[0]
    slow = Cue("slow answer")
    model.play(slow.play)
    first = suite.chat.StreamChat(asked("first", session_id=session_id), metadata=ana.metadata)
    await model.asked()
    model.clear()
    await events_of(suite.chat.StreamChat(asked("second", session_id=session_id), metadata=ana.metadata))
    slow.next()
    await events_of(first)
    listed = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=session_id), metadata=ana.metadata
    )
    assert [message.parts[0].text for message in listed.messages[::-1]] == [
        "first",
        "slow answer",
        "second",
        "Bien, gracias.",
    ]


async def test_every_session_is_listed_once_while_others_are_made(suite: Served, ana: Person) -> None:
    wanted = await created(suite, ana, 45)
    seen: list[str] = []
    token, pages = "", 0
    while True:
        page, _ = await asyncio.gather(
            sessions(suite, ana, page_size=10, page_token=token), created(suite, ana, 3)
        )
        seen += [session.session_id for session in page.sessions]
        pages += 1
        token = page.next_page_token
        if not token:
            break
        assert len(page.sessions) == 10
    assert pages <= 6
    assert sorted(seen, reverse=True) == seen
    assert [session_id for session_id in seen if session_id in wanted] == wanted
    assert (await sessions(suite, ana)).total_size == 45 + 3 * pages


async def test_every_message_is_listed_once_while_others_are_made(
    suite: Served, model: Stage, ana: Person
) -> None:
    session_id = (await created(suite, ana, 1))[0]

    async def say(text: str) -> None:
        request = chat_pb2.ChatRequest(message=text, session_id=session_id)
        await suite.chat.Chat(request, metadata=ana.metadata)

    for number in range(6):
        await say(f"message {number}")
    seen: list[str] = []
    token = ""
    for _ in range(20):
        request = chat_pb2.ListMessagesRequest(session_id=session_id, page_size=5, page_token=token)
        page = await suite.chat.ListMessages(request, metadata=ana.metadata)
        seen += [message.parts[0].text for message in page.messages]
        await say("later")
        token = page.next_page_token
        if not token:
            break
    asked_first = [f"message {number}" for number in range(5, -1, -1)]
    assert [text for text in seen if text.startswith("message")] == asked_first
    assert len(seen) == 12


async def test_pages_have_the_size_that_was_asked_for(suite: Served, ana: Person) -> None:
    ids = await created(suite, ana, 23)
    for size, count in ((0, 20), (1, 1), (22, 22), (23, 23), (100, 23)):
        page = await sessions(suite, ana, page_size=size)
        assert [session.session_id for session in page.sessions] == ids[:count]
        assert bool(page.next_page_token) is (count < 23)
        assert page.total_size == 23
    page = await sessions(suite, ana, skip=5, page_size=10)
    assert [session.session_id for session in page.sessions] == ids[5:15]
    assert (await sessions(suite, ana, skip=23)).sessions == []
    assert (await sessions(suite, ana, skip=100_000)).sessions == []


async def test_lists_can_be_narrowed_to_a_project(suite: Served, ana: Person) -> None:
    of_one = await created(suite, ana, 3, project="one")
    await created(suite, ana, 2, project="two")
    page = await sessions(suite, ana, project="one", page_size=2)
    rest = await sessions(suite, ana, project="one", page_size=2, page_token=page.next_page_token)
    assert [session.session_id for session in (*page.sessions, *rest.sessions)] == of_one
    assert page.total_size == 3


async def test_a_page_token_fits_its_list_alone(suite: Served, ana: Person, ben: Person) -> None:
    session_ids = await created(suite, ana, 3)
    await created(suite, ben, 3)
    token = (await sessions(suite, ana, page_size=1)).next_page_token
    bens = (await sessions(suite, ben, page_size=1)).next_page_token
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    moved = base64.urlsafe_b64encode(raw[:16] + session_ids[2].encode()).decode().rstrip("=")
    for wrong in (bens, moved, token[:-1], token + "A", "x", "garbage!", "\u0661", "a" * 1024, "====", "\0"):
        found = await failure(
            suite.chat.ListSessions(chat_pb2.ListSessionsRequest(page_token=wrong), metadata=ana.metadata)
        )
        assert found.what == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"), wrong
        assert list(found.fields) == ["page_token"]
    for other in (
        suite.chat.ListSessions(
            chat_pb2.ListSessionsRequest(page_token=token, project="p"), metadata=ana.metadata
        ),
        suite.chat.ListMessages(
            chat_pb2.ListMessagesRequest(session_id=session_ids[0], page_token=token), metadata=ana.metadata
        ),
    ):
        assert (await failure(other)).reason == "INVALID_PAGE_TOKEN"
    assert (await sessions(suite, ana, page_token=token)).sessions


async def test_creating_a_session_again_gives_the_same_one(suite: Served, ana: Person, ben: Person) -> None:
    request = chat_pb2.CreateSessionRequest(request_id=str(uuid.uuid4()), title="Once", project="p")
    answers = await asyncio.gather(
        *(suite.chat.CreateSession(request, metadata=ana.metadata) for _ in range(10))
    )
    assert len({answer.session.session_id for answer in answers}) == 1
    assert (await sessions(suite, ana)).total_size == 1
    request.title = "Twice"
    found = await failure(suite.chat.CreateSession(request, metadata=ana.metadata))
    assert found.what == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert found.metadata == {"request_id": request.request_id}
    theirs = await suite.chat.CreateSession(request, metadata=ben.metadata)
    assert theirs.session.user_id == ben.user_id
    # The ids of one caller are one space, whatever is called.
    reused = asked("Hola", request_id=request.request_id)
    assert (await failure(suite.chat.StreamChat(reused, metadata=ana.metadata))).reason == "REQUEST_ID_REUSED"


async def test_the_catalog_says_what_is_ready(suite: Served) -> None:
    response = await suite.chat.ListModels(chat_pb2.ListModelsRequest())
    assert response.default_model == "scripted"
    assert [one.name for one in response.models] == ["scripted", "narrow", "locked", "away", "echo"]
    by_name = {one.name: one for one in response.models}
    assert [one.name for one in response.models if not one.ready] == ["locked"]
    assert "KEY_THAT_NOBODY_HAS" in by_name["locked"].not_ready_reason
    assert by_name["scripted"].capabilities == [chat_pb2.CAPABILITY_TOOLS, chat_pb2.CAPABILITY_JSON_SCHEMA]
    assert by_name["narrow"].context_tokens == 64
    assert not by_name["echo"].capabilities


async def test_what_was_used_is_written_once_with_what_was_made(
    suite: Served, model: Stage, ana: Person
) -> None:
    request = asked("Hola", request_id=str(uuid.uuid4()), project="books")
    events = await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    started, finished = events[0].started, events[-1].finished
    for _ in range(3):
        await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    (metered,) = await suite.metered(ana)
    assert metered.service_type == usage_pb2.SERVICE_TYPE_LLM_CHAT
    assert metered.status == usage_pb2.USAGE_STATUS_SUCCESS
    assert (metered.session_id, metered.project) == (started.session_id, "books")
    assert (metered.model, metered.provider, metered.operation) == ("scripted", "stage", "StreamChat")
    assert metered.request_id == request.request_id
    assert metered.quantities == finished.usage.quantities
    assert metered.provenance == finished.usage.provenance == usage_pb2.PROVENANCE_REPORTED
    assert metered.latency.ToNanoseconds() >= metered.time_to_first_token.ToNanoseconds() > 0
    assert uuid.UUID(metered.event_id).version == 7
    found = await suite.chat.GetGeneration(
        chat_pb2.GetGenerationRequest(generation_id=started.generation_id), metadata=ana.metadata
    )
    assert found.generation.usage == finished.usage


async def test_what_a_provider_does_not_count_is_estimated(suite: Served, model: Stage, ana: Person) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.says(text("some words "), text("and more"), stop())

    model.play(silent)
    events = await events_of(suite.chat.StreamChat(asked("Hola"), metadata=ana.metadata))
    assert events[-1].finished.usage.provenance == usage_pb2.PROVENANCE_ESTIMATED
    assert all(quantity.amount > 0 for quantity in events[-1].finished.usage.quantities)


async def test_a_session_that_was_deleted_meanwhile_loses_the_answer_and_nothing_else(
    suite: Served, model: Stage, ana: Person
) -> None:
    session_id = (await created(suite, ana, 1))[0]
    cue = Cue("too late")
    model.play(cue.play)
    call = suite.chat.StreamChat(asked("Hola", session_id=session_id), metadata=ana.metadata)
    started = (await next_event(call)).started
    await suite.rows("delete from chat.sessions where session_id = %s returning 1", session_id)
    cue.next()
    events = await events_of(call)
    assert words(events) == "too late"

    async def metered() -> list[Any]:
        return await suite.metered(ana)

    assert len(await until(metered)) == 1
    gone = await failure(
        suite.chat.ListMessages(
            chat_pb2.ListMessagesRequest(session_id=started.session_id), metadata=ana.metadata
        )
    )
    assert gone.what == ("NOT_FOUND", "NOT_FOUND")
