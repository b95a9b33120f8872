"""Messages that are found by their words."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2

from services.chat.words import Wanted
from services.kernel.ids import new_id
from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import Person, Served, events_of, failed, failure

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def said(suite: Served, person: Person, *texts: str) -> str:
    """The id of a new session with these messages."""
    created = await suite.chat.CreateSession(chat_pb2.CreateSessionRequest(), metadata=person.metadata)
    for text in texts:
        message = chat_pb2.Message(role=chat_pb2.MESSAGE_ROLE_USER, parts=[chat_pb2.Part(text=text)])
        await suite.chat.CreateMessage(
            chat_pb2.CreateMessageRequest(session_id=created.session.session_id, message=message),
            metadata=person.metadata,
        )
    return created.session.session_id


def search(suite: Served, person: Person, query: str, **more: Any) -> Any:
    return suite.chat.SearchMessages(
        chat_pb2.SearchMessagesRequest(query=query, **more), metadata=person.metadata
    )


def texts(response: chat_pb2.SearchMessagesResponse) -> list[str]:
    return [hit.message.parts[0].text for hit in response.hits]


async def test_questions_and_answers_are_found(suite: Served, model: Stage, ana: Person) -> None:
    request = chat_pb2.StreamChatRequest(message="¿Cómo estás, Lima?")
    started = (await events_of(suite.chat.StreamChat(request, metadata=ana.metadata)))[0].started
    (hit,) = (await search(suite, ana, "gracias BIEN")).hits
    assert hit.message.message_id == started.message_id
    assert hit.message.session_id == started.session_id
    assert hit.snippet == "Bien, gracias."
    (hit,) = (await search(suite, ana, "lima")).hits
    assert hit.snippet == "¿Cómo estás, Lima?"
    assert not (await search(suite, ana, "lima quito")).hits


async def test_a_long_message_is_shown_in_part(suite: Served, ana: Person) -> None:
    await said(suite, ana, "other words " * 200 + "the palabra itself " + "other words " * 200)
    (hit,) = (await search(suite, ana, "palabra")).hits
    assert "the palabra itself" in hit.snippet
    assert len(hit.snippet) <= 162
    assert hit.snippet[0] == hit.snippet[-1] == "…"


async def test_what_belongs_to_others_is_not_found(suite: Served, ana: Person, ben: Person) -> None:
    hers, his = await said(suite, ana, "hola mundo"), await said(suite, ben, "hola luna")
    assert texts(await search(suite, ana, "hola")) == ["hola mundo"]
    assert texts(await search(suite, ana, "hola", session_id=hers.upper())) == ["hola mundo"]
    assert texts(await search(suite, ben, "mundo")) == []
    absent = new_id()
    found, none = (
        await failure(search(suite, ana, "hola", session_id=his)),
        await failure(search(suite, ana, "hola", session_id=absent)),
    )
    assert found.what == none.what == ("NOT_FOUND", "NOT_FOUND")
    assert found.text.replace(his, "ID") == none.text.replace(absent, "ID")


async def test_pages_lead_to_the_end(suite: Served, ana: Person, ben: Person) -> None:
    session_id = await said(suite, ana, *(f"lima {'y ' * (number % 3)}{number}" for number in range(8)))
    found: list[str] = []
    token = ""
    while True:
        page = await search(suite, ana, "lima", page_size=3, page_token=token)
        assert 1 <= len(page.hits) <= 3
        found += texts(page)
        await said(suite, ana, "lima lima lima", "a lima among many words that say nothing of it at all")
        token = page.next_page_token
        if not token or len(found) > 50:
            break
    before = [text for text in found if text[-1].isdigit()]
    assert sorted(before) == sorted(f"lima {'y ' * (number % 3)}{number}" for number in range(8))
    first = await search(suite, ana, "lima", page_size=1)
    assert texts(await search(suite, ana, "lima", page_size=1, skip=1)) == texts(
        await search(suite, ana, "lima", page_size=1, page_token=first.next_page_token)
    )
    for call in (
        search(suite, ana, "LIMA", page_token=first.next_page_token),
        search(suite, ana, "lima", session_id=session_id, page_token=first.next_page_token),
        search(suite, ben, "lima", page_token=first.next_page_token),
        search(suite, ana, "lima", page_token="x"),
    ):
        assert (await failure(call)).what == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_many_searches_at_once_wait_or_are_refused(suite: Served, ana: Person, ben: Person) -> None:
    await said(suite, ana, *(f"lima {number}" for number in range(5)))
    await said(suite, ben, "lima")

    async def outcome() -> Any:
        try:
            return len((await search(suite, ana, "lima")).hits)
        except grpc.aio.AioRpcError as error:
            found = failed(error)
            return (*found.what, found.metadata.get("queue"), bool(found.retry))

    hers = [asyncio.create_task(outcome()) for _ in range(30)]
    assert texts(await search(suite, ben, "lima")) == ["lima"]
    refused = ("RESOURCE_EXHAUSTED", "OVERLOADED", "searches", True)
    outcomes = await asyncio.gather(*hers)
    assert set(outcomes) <= {5, refused}
    assert outcomes.count(5) >= 4


@pytest.mark.parametrize("query", ["", " ", "?!", "-- & |", "…", "a\0b"])
async def test_a_query_needs_a_word(suite: Served, ana: Person, query: str) -> None:
    found = await failure(search(suite, ana, query))
    assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert list(found.fields) == ["query"]


@pytest.mark.parametrize("query", ["'", "lima:*", "!lima", "a & (b", "\\", "' or 1=1 --", "%_", "🙂 x"])
async def test_signs_have_no_meaning(suite: Served, ana: Person, query: str) -> None:
    if Wanted.of(query).words:
        await said(suite, ana, f"so it stands: {query} there")
        assert (await search(suite, ana, query)).hits
    else:
        assert (await failure(search(suite, ana, query))).code.name == "INVALID_ARGUMENT"
