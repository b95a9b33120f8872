"""What every SessionStore promises of single messages."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.chat.model import Message, Role, ToolCall
from services.kernel.errors import AlreadyExists, NotFound
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_records import TTL, completed, new_generation
from tests.fakes.chat_stores import ChatStores


def message_in(session_id: str, text: str = "hola", **changes: object) -> Message:
    made = Message(new_id(), Role.USER, (text,), session_id=session_id, create_time=datetime.now(UTC))
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_a_message_is_kept_as_it_is(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    for message in (
        message_in(session.session_id, parts=("¿Qué?", " dos ", "partes")),
        message_in(session.session_id, role=Role.SYSTEM),
        message_in(
            session.session_id, role=Role.ASSISTANT, parts=(), tool_calls=(ToolCall("c", "look", '{"a": 1}'),)
        ),
        message_in(session.session_id, role=Role.TOOL, tool_call_id="c"),
    ):
        assert await store.create_message(message, "u1", None) == message
        assert await store.message(message.message_id, "u1") == message
    found = await store.session(session.session_id, "u1")
    assert found is not None
    assert found.update_time == message.create_time
    assert found.title == "a title"


async def test_messages_are_for_sessions_of_their_own(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    claim = ("u2", new_id(), b"d" * 32)
    assert await store.create_message(message_in(session.session_id), "u2", claim) is None
    assert await store.create_message(message_in(new_id()), "u1", None) is None
    assert (await store.messages(session.session_id, PageRequest())).total_size == 0
    assert await store.session(session.session_id, "u1") == session
    theirs = await chat_stores.opened("u2")
    assert await store.create_message(message_in(theirs.session_id), "u2", claim) is not None


async def test_a_message_is_its_owners(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    (message,) = await chat_stores.said(session, "hola")
    assert await store.message(message.message_id, "u2") is None
    assert await store.message(new_id(), "u1") is None


async def test_the_answer_to_a_call_without_a_session_is_its_callers(chat_stores: ChatStores) -> None:
    new = await chat_stores.answered("u1", None)
    message_id = new.generation.message_id
    found = await chat_stores.sessions.message(message_id, "u1")
    assert found is not None
    assert (found.text, found.generation_id, found.session_id) == (
        "the answer",
        new.generation.generation_id,
        "",
    )
    assert await chat_stores.sessions.message(message_id, "u2") is None
    nobodys = await chat_stores.answered("", None)
    for person in ("u1", ""):
        if person or nobodys.generation.user_id:
            assert await chat_stores.sessions.message(nobodys.generation.message_id, person) is None


async def test_the_first_message_of_a_user_gives_the_title(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened(title="")

    async def title() -> str:
        found = await chat_stores.sessions.session(session.session_id, "u1")
        assert found is not None
        return found.title

    await chat_stores.said(session, "You are kind.", role=Role.SYSTEM)
    assert await title() == ""
    await chat_stores.said(session, "  Where is\nLima? ")
    assert await title() == "Where is Lima?"
    await chat_stores.said(session, "And Quito?")
    assert await title() == "Where is Lima?"


async def test_the_first_call_gives_the_title(chat_stores: ChatStores) -> None:
    untitled, titled = await chat_stores.opened(title=""), await chat_stores.opened()
    lease = await chat_stores.records.acquire(new_id(), TTL)
    for title in ("the first", "the second"):
        for session in (untitled, titled):
            new = replace(new_generation(user_id="u1", session=session), session=None, title=title)
            assert await chat_stores.records.begin(lease, new) is None
            assert await chat_stores.records.finish(lease, new.generation, completed(new, 2, "sure"), None)
    found = [await chat_stores.sessions.session(session.session_id, "u1") for session in (untitled, titled)]
    assert [session.title for session in found if session] == ["the first", "a title"]


async def test_a_repeated_call_adds_one_message(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    claim = ("u1", new_id(), b"d" * 32)
    made = await asyncio.gather(
        *(
            store.create_message(message_in(session.session_id, f"{number}"), "u1", claim)
            for number in range(6)
        )
    )
    assert len(set(made)) == 1
    assert (await store.messages(session.session_id, PageRequest())).total_size == 1
    with pytest.raises(AlreadyExists):
        await store.create_message(message_in(session.session_id), "u1", ("u1", claim[1], b"e" * 32))
    await store.delete_session(session.session_id, "u1")
    with pytest.raises(NotFound):
        await store.create_message(message_in(session.session_id), "u1", claim)


async def test_messages_that_are_added_meanwhile_disturb_no_paging(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    before = await chat_stores.said(session, *(f"{number}" for number in range(15)))

    async def add_more() -> None:
        await asyncio.gather(*(chat_stores.said(session, "new", "newer") for _ in range(3)))

    adding = asyncio.create_task(add_more())
    found: list[str] = []
    after: str | None = None
    while True:
        page = await chat_stores.sessions.messages(session.session_id, PageRequest(2, after))
        found += [message.message_id for message in page.items]
        if page.after is None:
            break
        after = page.after
    await adding
    assert found == sorted(set(found), reverse=True)
    assert [id_ for id_ in found if id_ in {one.message_id for one in before}] == [
        one.message_id for one in before
    ][::-1]
