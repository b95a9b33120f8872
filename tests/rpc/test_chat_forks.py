"""Sessions that go another way from a message on."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2

from services.kernel.ids import new_id
from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import Person, Served, events_of, failure

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def talk(suite: Served, person: Person, *messages: str, **more: Any) -> str:
    """The id of a session in which these were asked and answered."""
    session_id = ""
    for message in messages:
        request = chat_pb2.StreamChatRequest(message=message, session_id=session_id, **more)
        events = await events_of(suite.chat.StreamChat(request, metadata=person.metadata))
        session_id = events[0].started.session_id
    return session_id


async def listed(suite: Served, person: Person, session_id: str) -> list[chat_pb2.Message]:
    request = chat_pb2.ListMessagesRequest(session_id=session_id, page_size=100)
    return list((await suite.chat.ListMessages(request, metadata=person.metadata)).messages)[::-1]


def fork(suite: Served, person: Person, session_id: str, message_id: str, **more: Any) -> Any:
    request = chat_pb2.ForkSessionRequest(session_id=session_id, message_id=message_id, **more)
    return suite.chat.ForkSession(request, metadata=person.metadata)


async def test_a_fork_goes_its_own_way(suite: Served, model: Stage, ana: Person) -> None:
    session_id = await talk(
        suite, ana, "uno", "dos", system_prompt="Be brief.", project="p", model="scripted"
    )
    messages = await listed(suite, ana, session_id)
    made = (await fork(suite, ana, session_id, messages[1].message_id)).session
    assert made.forked_from_session_id == session_id
    assert (made.title, made.project, made.model, made.system_prompt) == ("uno", "p", "scripted", "Be brief.")
    assert made.user_id == ana.user_id
    model.clear()
    request = chat_pb2.StreamChatRequest(message="tres", session_id=made.session_id)
    await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert [message["content"] for message in model.exchanges[0].json["messages"]] == [
        "Be brief.",
        "uno",
        "Bien, gracias.",
        "tres",
    ]
    assert await listed(suite, ana, session_id) == messages
    copied = await listed(suite, ana, made.session_id)
    assert [message.parts[0].text for message in copied] == [
        "uno",
        "Bien, gracias.",
        "tres",
        "Bien, gracias.",
    ]
    assert copied[1].generation_id == messages[1].generation_id
    named = (
        await fork(suite, ana, session_id.upper(), messages[0].message_id.upper(), title=" Otra ")
    ).session
    assert named.title == "Otra"
    assert len(await listed(suite, ana, named.session_id)) == 1


async def test_a_repeated_call_makes_one_fork(suite: Served, model: Stage, ana: Person) -> None:
    session_id = await talk(suite, ana, "uno")
    first, last = await listed(suite, ana, session_id)
    request_id = str(uuid.uuid4())
    made = await asyncio.gather(
        *(fork(suite, ana, session_id, last.message_id, request_id=request_id) for _ in range(5))
    )
    assert len({one.session.session_id for one in made}) == 1
    found = await failure(fork(suite, ana, session_id, first.message_id, request_id=request_id))
    assert found.what == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    # The reply got lost, and meanwhile the session it was made from went away.
    await suite.chat.DeleteSession(
        chat_pb2.DeleteSessionRequest(session_id=session_id), metadata=ana.metadata
    )
    again = await fork(suite, ana, session_id, last.message_id, request_id=request_id)
    assert again.session == made[0].session
    found = await failure(fork(suite, ana, session_id, last.message_id))
    assert found.resource == ("chat.session", session_id)


async def test_what_belongs_to_others_can_not_be_forked(
    suite: Served, model: Stage, ana: Person, ben: Person
) -> None:
    hers, his = await talk(suite, ana, "uno"), await talk(suite, ben, "dos")
    her_message = (await listed(suite, ana, hers))[0]
    absent = new_id()
    for session_id, message_id, resource in (
        (hers, her_message.message_id, ("chat.session", hers)),
        (absent, her_message.message_id, ("chat.session", absent)),
        (his, her_message.message_id, ("chat.message", her_message.message_id)),
        (his, absent, ("chat.message", absent)),
    ):
        for more in ({}, {"request_id": str(uuid.uuid4())}):
            found = await failure(fork(suite, ben, session_id, message_id, **more))
            assert found.what == ("NOT_FOUND", "NOT_FOUND")
            assert found.resource == resource
            assert found.text == f"{resource[0]} {resource[1]} was not found"
    assert (
        await suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=ben.metadata)
    ).total_size == 1


@pytest.mark.parametrize("title", ["a\0", "a\x1b[31m", "\u202ea", "a\x9b", "a\u2066"])
async def test_a_title_that_can_not_be_kept_is_refused(suite: Served, ana: Person, title: str) -> None:
    request = chat_pb2.CreateSessionRequest(title=title)
    for call in (
        fork(suite, ana, new_id(), new_id(), title=title),
        suite.chat.CreateSession(request, metadata=ana.metadata),
    ):
        found = await failure(call)
        assert (found.code.name, list(found.fields)) == ("INVALID_ARGUMENT", ["title"])
