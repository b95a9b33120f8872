"""What every SessionStore promises of forks."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.chat.model import Message, Role, Session, ToolCall
from services.kernel.errors import AlreadyExists, NotFound
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_stores import ChatStores, new_session


def fork_of(session: Session) -> Session:
    return new_session(session.user_id, title="the fork", forked_from_session_id=session.session_id)


def content(message: Message) -> Message:
    return replace(message, message_id="", session_id="")


async def test_a_fork_has_copies_up_to_the_message_in_order(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    await chat_stores.said(session, "one", "two")
    await chat_stores.answered("u1", session)
    await chat_stores.said(session, "", role=Role.ASSISTANT, tool_calls=(ToolCall("c", "look", "{}"),))
    await chat_stores.said(session, "18 °C", role=Role.TOOL, tool_call_id="c")
    whole = await chat_stores.listed(session.session_id)
    assert len(whole) == 6 + 0
    for upto in (0, 3, len(whole) - 1):
        fork = fork_of(session)
        assert await store.fork_session(fork, whole[upto].message_id, None) == fork
        assert await store.session(fork.session_id, "u1") == fork
        copied = await chat_stores.listed(fork.session_id)
        assert [content(one) for one in copied] == [content(one) for one in whole[: upto + 1]]
        assert {one.session_id for one in copied} == {fork.session_id}
        assert not {one.message_id for one in copied} & {one.message_id for one in whole}
        # What is said next comes after the copies.
        (said,) = await chat_stores.said(fork, "next")
        assert (await chat_stores.listed(fork.session_id))[-1] == said
    assert await chat_stores.listed(session.session_id) == whole


async def test_a_fork_outlives_what_it_was_made_from(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    new = await chat_stores.answered("u1", session)
    fork = fork_of(session)
    assert await store.fork_session(fork, new.generation.message_id, None)
    await store.delete_session(session.session_id, "u1")
    texts = [message.text for message in await chat_stores.listed(fork.session_id)]
    assert texts == ["¿Qué es una orden inbound?", "the answer"]
    assert await store.session(fork.session_id, "u1") == fork


async def test_forking_what_is_not_there_makes_nothing(chat_stores: ChatStores) -> None:
    store = chat_stores.sessions
    mine, other, theirs = (
        await chat_stores.opened(),
        await chat_stores.opened(),
        await chat_stores.opened("u2"),
    )
    (message,), (elsewhere,), (foreign,) = [
        await chat_stores.said(session, "hola") for session in (mine, other, theirs)
    ]
    claim = ("u1", new_id(), b"d" * 32)
    for source, message_id in (
        (mine, elsewhere.message_id),
        (mine, foreign.message_id),
        (mine, new_id()),
        (replace(theirs, user_id="u1"), foreign.message_id),
        (new_session(), message.message_id),
    ):
        assert await store.fork_session(fork_of(source), message_id, claim) is None
    assert (await store.sessions("u1", "", True, PageRequest())).total_size == 2
    # None of these holds the claim.
    assert await store.fork_session(fork_of(mine), message.message_id, claim) is not None


async def test_a_repeated_call_makes_one_fork(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    (message,) = await chat_stores.said(session, "hola")
    claim = ("u1", new_id(), b"d" * 32)
    made = await asyncio.gather(
        *(store.fork_session(fork_of(session), message.message_id, claim) for _ in range(6))
    )
    (fork,) = set(made)
    assert fork is not None
    assert len(await chat_stores.listed(fork.session_id)) == 1
    with pytest.raises(AlreadyExists):
        await store.fork_session(fork_of(session), message.message_id, ("u1", claim[1], b"e" * 32))
    await store.delete_session(session.session_id, "u1")
    assert await store.fork_session(fork_of(session), message.message_id, claim) == fork
    await store.delete_session(fork.session_id, "u1")
    with pytest.raises(NotFound):
        await store.fork_session(fork_of(session), message.message_id, claim)


async def test_a_long_session_is_copied_in_order(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    asked = [f"turn {number}" for number in range(150)]
    await chat_stores.said(session, *asked)
    last = (await chat_stores.sessions.messages(session.session_id, PageRequest(1))).items[0]
    fork = fork_of(session)
    assert await chat_stores.sessions.fork_session(fork, last.message_id, None)
    found: list[str] = []
    after: str | None = None
    while True:
        page = await chat_stores.sessions.messages(fork.session_id, PageRequest(100, after))
        found += [message.text for message in page.items]
        if page.after is None:
            break
        after = page.after
    assert found == asked[::-1]
