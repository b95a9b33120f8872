"""What every SessionStore promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.capabilities.metering.model import NO_USAGE
from services.chat.model import (
    Ending,
    Event,
    Finished,
    FinishReason,
    Generation,
    Message,
    NewGeneration,
    Role,
    Session,
    Started,
    State,
    ToolCall,
)
from services.chat.ports import SessionStore
from services.kernel.errors import AlreadyExists
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_stores import ChatStores, new_session


async def created(store: SessionStore, count: int, **changes: Any) -> list[Session]:
    """So many sessions, newest first."""
    made = [await store.create_session(new_session(**changes), None) for _ in range(count)]
    return made[::-1]


def ids(sessions: object) -> list[str]:
    return [one.session_id for one in sessions]  # type: ignore[attr-defined]


async def test_a_session_is_kept_as_it_is(store: SessionStore) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"title": "¿Qué?", "project": "", "model": "", "system_prompt": ""},
        {"archived": True},
    ]
    for changes in kinds:
        made = new_session(**changes)
        assert await store.create_session(made, None) == made
        assert await store.session(made.session_id, "u1") == made
        assert await store.session(made.session_id, None) == made


async def test_what_belongs_to_others_is_absent(store: SessionStore) -> None:
    (mine,) = await created(store, 1)
    assert await store.session(mine.session_id, "u2") is None
    assert await store.session(new_id(), None) is None
    page = await store.sessions("u2", "", True, PageRequest())
    assert (list(page.items), page.after, page.total_size) == ([], None, 0)


async def test_pages_follow_one_another_newest_first(store: SessionStore) -> None:
    made, found, after = await created(store, 7), list[str](), None
    for expected in (3, 3, 1):
        page = await store.sessions("u1", "", False, PageRequest(3, after))
        assert (len(page.items), page.total_size) == (expected, 7)
        found += ids(page.items)
        after = page.after
    assert after is None
    assert found == ids(made)


async def test_a_page_that_is_just_full_is_the_last_one(store: SessionStore) -> None:
    made = await created(store, 3)
    page = await store.sessions("u1", "", False, PageRequest(3))
    assert (ids(page.items), page.after) == (ids(made), None)


async def test_skipping_leaves_out_the_newest(store: SessionStore) -> None:
    made = await created(store, 5)
    page = await store.sessions("u1", "", False, PageRequest(2, skip=2))
    assert (ids(page.items), page.total_size) == (ids(made)[2:4], 5)
    rest = await store.sessions("u1", "", False, PageRequest(2, page.after))
    assert (ids(rest.items), rest.after) == (ids(made)[4:], None)
    beyond = await store.sessions("u1", "", False, PageRequest(2, skip=50))
    assert (list(beyond.items), beyond.after, beyond.total_size) == ([], None, 5)


async def test_filters_hold_for_pages_and_totals(store: SessionStore) -> None:
    plain, other = await created(store, 2), await created(store, 2, project="other")
    hidden = await created(store, 2, archived=True)
    page = await store.sessions("u1", "", False, PageRequest(1))
    assert (ids(page.items), page.total_size) == (ids(other)[:1], 4)
    page = await store.sessions("u1", "demo", False, PageRequest())
    assert (ids(page.items), page.total_size) == (ids(plain), 2)
    page = await store.sessions("u1", "demo", True, PageRequest())
    assert (ids(page.items), page.total_size) == (ids([*hidden, *plain]), 4)


async def test_sessions_that_are_opened_meanwhile_disturb_no_paging(store: SessionStore) -> None:
    made = await created(store, 20)

    async def open_more() -> None:
        await asyncio.gather(*(created(store, 5) for _ in range(3)))

    opening = asyncio.create_task(open_more())
    found, after, skip = list[str](), None, 0
    while True:
        page = await store.sessions("u1", "", False, PageRequest(3, after, skip))
        found += ids(page.items)
        if page.after is None:
            break
        after = page.after
    await opening
    assert len(found) == len(set(found))
    assert [id_ for id_ in found if id_ in set(ids(made))] == ids(made)
    assert found == sorted(found, reverse=True)


async def test_a_repeated_call_creates_one_session(store: SessionStore) -> None:
    claim = ("u1", new_id(), b"d" * 32)
    made = await asyncio.gather(*(store.create_session(new_session(title=f"{n}"), claim) for n in range(8)))
    assert len({one.session_id for one in made}) == 1
    assert len({one.title for one in made}) == 1
    page = await store.sessions("u1", "", True, PageRequest())
    assert page.total_size == 1


async def test_a_request_id_is_one_callers_and_one_bodys(store: SessionStore) -> None:
    request_id = new_id()
    first = await store.create_session(new_session(), ("u1", request_id, b"d" * 32))
    with pytest.raises(AlreadyExists) as refused:
        await store.create_session(new_session(), ("u1", request_id, b"e" * 32))
    assert refused.value.reason == "REQUEST_ID_REUSED"
    theirs = await store.create_session(new_session("u2"), ("u2", request_id, b"d" * 32))
    assert theirs.session_id != first.session_id
    assert (await store.sessions("u1", "", True, PageRequest())).total_size == 1


async def test_messages_are_listed_newest_first_with_all_that_they_have(
    chat_stores: ChatStores,
) -> None:
    store, records, now = chat_stores.sessions, chat_stores.records, datetime.now(UTC)
    lease = await records.acquire(new_id(), timedelta(seconds=30))
    opened = new_session()
    asked: list[Message] = []
    answers: list[Message] = []
    for number in range(3):
        message = Message(new_id(), Role.USER, (f"question {number}",))
        asked.append(message)
        generation = Generation(
            new_id(), opened.session_id, new_id(), "", "u1", "", "echo", "echo", State.RUNNING, now
        )
        id_, message_id = generation.generation_id, generation.message_id
        started = Event(1, 1, now, Started(id_, opened.session_id, message_id, "echo"))
        new = NewGeneration(generation, "u1", b"", None if number else opened, message, started)
        assert await records.begin(lease, new) is None
        answer = Message(
            message_id,
            Role.ASSISTANT,
            ("two ", "parts"),
            (ToolCall("c", "look", "{}"),),
            session_id=opened.session_id,
            generation_id=id_,
            model="echo",
            finish_reason=FinishReason.LENGTH,
        )
        answers.append(answer)
        done = Event(2, 2, now, Finished(FinishReason.LENGTH, message_id, NO_USAGE))
        ending = Ending(
            State.COMPLETED,
            FinishReason.LENGTH,
            None,
            NO_USAGE,
            answer,
            [done],
            2,
            "",
            now,
            False,
            "echo",
            "echo",
        )
        assert await records.finish(lease, generation, ending, None)
    page = await store.messages(opened.session_id, PageRequest(4))
    expected = [message.message_id for pair in zip(asked, answers, strict=True) for message in pair][::-1]
    assert [message.message_id for message in page.items] == expected[:4]
    assert page.total_size == 6
    assert replace(page.items[0], create_time=None) == answers[-1]
    assert page.items[0].create_time is not None
    rest = await store.messages(opened.session_id, PageRequest(4, page.after))
    assert [message.message_id for message in rest.items] == expected[4:]
    skipped = await store.messages(opened.session_id, PageRequest(4, skip=5))
    assert [message.message_id for message in skipped.items] == expected[5:]
    assert (await store.messages(new_id(), PageRequest())).total_size == 0


async def test_pages_of_large_entries_hold_fewer_and_lead_to_the_end(store: SessionStore) -> None:
    made = await created(store, 5, system_prompt="x" * 1_000_000)
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await store.sessions("u1", "", False, PageRequest(size=100, after=after))
        assert 1 <= len(page.items) <= 3
        seen += ids(page.items)
        after = page.after
        if after is None:
            break
    assert seen == ids(made)
