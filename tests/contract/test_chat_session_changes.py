"""What every SessionStore promises of sessions that are changed and deleted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.chat.model import Event, ReasoningDelta, State
from services.chat.ports import Flush
from services.kernel.errors import NotFound
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_records import TTL, failed, new_generation, now, text, usage_event
from tests.fakes.chat_stores import ChatStores, new_session


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "another"},
        {"title": "", "project": "", "model": "", "system_prompt": ""},
        {"archived": True},
        {"title": "¿Qué?", "project": "p", "model": "m", "system_prompt": "s", "archived": True},
    ],
)
async def test_a_change_is_kept_and_nothing_else_changes(
    chat_stores: ChatStores, changes: dict[str, Any]
) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    later = session.update_time + timedelta(seconds=1)
    changed = await store.update_session(session.session_id, "u1", changes, later)
    assert changed == replace(session, update_time=later, **changes)
    assert await store.session(session.session_id, "u1") == changed


async def test_only_the_owner_changes_a_session(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    assert await store.update_session(session.session_id, "u2", {"title": "x"}, datetime.now(UTC)) is None
    assert await store.update_session(new_id(), "u1", {"title": "x"}, datetime.now(UTC)) is None
    assert await store.delete_session(session.session_id, "u2") is None
    assert await store.delete_session(new_id(), "u1") is None
    assert await store.session(session.session_id, "u1") == session


async def test_changes_at_once_are_all_kept(chat_stores: ChatStores) -> None:
    store, session = chat_stores.sessions, await chat_stores.opened()
    when = datetime.now(UTC)
    await asyncio.gather(
        store.update_session(session.session_id, "u1", {"title": "t"}, when),
        store.update_session(session.session_id, "u1", {"project": "p"}, when),
        store.update_session(session.session_id, "u1", {"archived": True}, when),
    )
    found = await store.session(session.session_id, "u1")
    assert found is not None
    assert (found.title, found.project, found.archived) == ("t", "p", True)


async def test_a_deleted_session_takes_its_messages_along(chat_stores: ChatStores) -> None:
    store, session, other = chat_stores.sessions, await chat_stores.opened(), await chat_stores.opened()
    (message,) = await chat_stores.said(session, "palabra")
    (kept,) = await chat_stores.said(other, "palabra")
    assert await store.delete_session(session.session_id, "u1") == []
    assert await store.session(session.session_id, None) is None
    assert await store.message(message.message_id, "u1") is None
    assert (await store.messages(session.session_id, PageRequest())).total_size == 0
    assert list((await store.search("u1", "", "palabra", PageRequest())).items) == [kept]
    assert [one.session_id for one in (await store.sessions("u1", "", True, PageRequest())).items] == [
        other.session_id
    ]
    assert await store.delete_session(session.session_id, "u1") is None


async def test_of_two_deletions_one_finds_the_session(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    for _ in range(3):
        await chat_stores.answered("u1", session)
    found = await asyncio.gather(
        *(chat_stores.sessions.delete_session(session.session_id, "u1") for _ in range(4))
    )
    assert sorted(found, key=str) == sorted([[], None, None, None], key=str)


async def test_nothing_that_was_said_is_left_and_what_was_used_is(chat_stores: ChatStores) -> None:
    session, other = await chat_stores.opened(), await chat_stores.opened()
    records, before = chat_stores.records, datetime.now(UTC) - timedelta(seconds=1)
    gone = await chat_stores.answered("u1", session)
    broken_lease, broken = await chat_stores.started("u1", session)
    ending = replace(failed(1, free_claim=False), reasoning="a secret thought")
    event = usage_event(broken.generation)
    assert await records.finish(broken_lease, broken.generation, ending, event)
    kept = await chat_stores.answered("u1", other)
    after = datetime.now(UTC) + timedelta(seconds=1)
    sums = await records.summarize(before, after, 100)

    assert await chat_stores.sessions.delete_session(session.session_id, "u1") == []
    for new in (gone, broken):
        found = await records.generation(new.generation.generation_id)
        assert found is not None
        assert found.forgotten
        assert (found.text, found.reasoning, found.tool_calls) == ("", "", ())
        assert found.failure is None or (found.failure.message, found.failure.metadata) == ("", {})
        assert await records.events(new.generation.generation_id, 0, 100) == []
        assert found.usage is not None
        assert found.user_id == "u1"
    left = await records.generation(kept.generation.generation_id)
    assert left is not None
    assert (left.forgotten, left.text) == (False, "the answer")
    assert await records.summarize(before, after, 100) == sums
    # What belongs to no session is forgotten after a while, and this is not of that kind.
    assert await records.forget_answers(timedelta(0), 100) == 0
    assert await records.summarize(before, after, 100) == sums


@pytest.mark.parametrize("ended", ["well", "badly"])
async def test_what_runs_in_a_deleted_session_is_asked_to_end_and_stores_nothing(
    chat_stores: ChatStores, ended: str
) -> None:
    session, records = await chat_stores.opened(), chat_stores.records
    lease, new = await chat_stores.started("u1", session)
    id_ = new.generation.generation_id
    await records.append(lease, [Flush(id_, [text(2, 2, "one")])])
    before = datetime.now(UTC) - timedelta(seconds=1)
    assert await chat_stores.sessions.delete_session(session.session_id, "u1") == [id_]
    renewal = await records.renew(lease, TTL)
    assert renewal is not None
    assert id_ in renewal.to_cancel
    running = await records.generation(id_)
    assert running is not None
    assert (running.state, running.forgotten, running.text) == (State.RUNNING, True, "")

    # Its writer has not heard of it yet.
    await records.append(lease, [Flush(id_, [Event(3, 3, now(), ReasoningDelta("two"))])])
    if ended == "well":
        assert await chat_stores.end(lease, new, "one two", 4)
    else:
        ending = replace(failed(3, free_claim=False), reasoning="two")
        assert await records.finish(lease, new.generation, ending, usage_event(new.generation))
    found = await records.generation(id_)
    assert found is not None
    assert found.state is (State.COMPLETED if ended == "well" else State.FAILED)
    assert (found.forgotten, found.text, found.reasoning) == (True, "", "")
    assert found.failure is None or found.failure.message == ""
    assert await records.events(id_, 0, 100) == []
    assert await chat_stores.sessions.message(new.generation.message_id, "u1") is None
    assert await chat_stores.sessions.session(session.session_id, None) is None
    (sums,) = await records.summarize(before, datetime.now(UTC) + timedelta(seconds=1), 100)
    assert (sums.user_id, sums.event_count) == ("u1", 1)


async def test_ends_and_deletions_at_once_leave_nothing(chat_stores: ChatStores) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    for _ in range(6):
        session = await chat_stores.opened()
        running = [await chat_stores.started("u1", session) for _ in range(4)]

        async def end(lease: Any, new: Any) -> None:
            await chat_stores.records.append(
                lease, [Flush(new.generation.generation_id, [text(2, 2, "hola")])]
            )
            assert await chat_stores.end(lease, new, "hola", 3)

        await asyncio.gather(
            *(end(lease, new) for lease, new in running),
            chat_stores.sessions.delete_session(session.session_id, "u1"),
        )
        for _, new in running:
            id_ = new.generation.generation_id
            assert await chat_stores.records.events(id_, 0, 10) == []
            found = await chat_stores.records.generation(id_)
            assert found is not None
            assert (found.state, found.text, found.forgotten) == (State.COMPLETED, "", True)
            assert await chat_stores.sessions.message(new.generation.message_id, "u1") is None
    (sums,) = await chat_stores.records.summarize(before, datetime.now(UTC) + timedelta(seconds=1), 10)
    assert sums.event_count == 24


async def test_a_late_retry_makes_nothing_anew(chat_stores: ChatStores) -> None:
    claim = ("u1", new_id(), b"d" * 32)
    session = await chat_stores.sessions.create_session(new_session(), claim)
    request_id = new_id()
    new = await chat_stores.answered("u1", session, request_id=request_id, digest=b"e" * 32)
    assert await chat_stores.sessions.delete_session(session.session_id, "u1") == []
    with pytest.raises(NotFound):
        await chat_stores.sessions.create_session(new_session(), claim)
    assert await chat_stores.records.claimed("u1", request_id, b"e" * 32) == new.generation.generation_id


async def test_the_claim_of_a_failure_in_a_deleted_session_is_not_freed(chat_stores: ChatStores) -> None:
    session, request_id = await chat_stores.opened(), new_id()
    lease, new = await chat_stores.started("u1", session, request_id=request_id, digest=b"e" * 32)
    await chat_stores.sessions.delete_session(session.session_id, "u1")
    assert await chat_stores.records.finish(lease, new.generation, failed(1, free_claim=True), None)
    assert await chat_stores.records.claimed("u1", request_id, b"e" * 32) == new.generation.generation_id


async def test_a_call_in_a_session_that_was_deleted_is_not_begun(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    await chat_stores.sessions.delete_session(session.session_id, "u1")
    lease = await chat_stores.records.acquire(new_id(), TTL)
    new = replace(new_generation(user_id="u1", session=session), session=None)
    with pytest.raises(NotFound):
        await chat_stores.records.begin(lease, new)
    assert await chat_stores.records.generation(new.generation.generation_id) is None
