"""Sessions that are renamed, archived and deleted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from services.kernel.ids import new_id
from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import (
    Failed,
    Person,
    Served,
    events_of,
    failure,
    next_event,
    told,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def opened(suite: Served, person: Person, **fields: Any) -> chat_pb2.Session:
    request = chat_pb2.CreateSessionRequest(**fields)
    return (await suite.chat.CreateSession(request, metadata=person.metadata)).session


def update(suite: Served, person: Person, session: chat_pb2.Session, *paths: str) -> Any:
    request = chat_pb2.UpdateSessionRequest(session=session, update_mask=FieldMask(paths=paths))
    return suite.chat.UpdateSession(request, metadata=person.metadata)


def delete(suite: Served, person: Person, session_id: str) -> Any:
    return suite.chat.DeleteSession(
        chat_pb2.DeleteSessionRequest(session_id=session_id), metadata=person.metadata
    )


def asked(message: str, **more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(message=message, **more)


def without_id(found: Failed, id_: str) -> str:
    return repr(found).replace(id_, "ID").replace(found.request_id, "")


async def test_what_the_mask_names_is_changed(suite: Served, ana: Person) -> None:
    session = await opened(suite, ana, title="Old", project="p", model="echo", system_prompt="Be brief.")
    wish = chat_pb2.Session(
        session_id=session.session_id.upper(), title=" New ", project="q", user_id=new_id(), archived=True
    )
    changed = (await update(suite, ana, wish, "title", "archived")).session
    assert (changed.title, changed.archived) == ("New", True)
    assert (changed.project, changed.model, changed.system_prompt) == ("p", "echo", "Be brief.")
    assert changed.create_time == session.create_time
    assert changed.update_time.ToNanoseconds() > session.update_time.ToNanoseconds()
    assert changed.user_id == ana.user_id
    found = await suite.chat.GetSession(
        chat_pb2.GetSessionRequest(session_id=session.session_id), metadata=ana.metadata
    )
    assert found.session == changed

    listed = await suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=ana.metadata)
    assert not listed.sessions
    whole = (await update(suite, ana, wish, "*")).session
    assert (whole.title, whole.project, whole.model, whole.system_prompt) == ("New", "q", "", "")


async def test_an_archived_session_can_be_continued(suite: Served, model: Stage, ana: Person) -> None:
    session = await opened(suite, ana)
    session.archived = True
    await update(suite, ana, session, "archived")
    await events_of(
        suite.chat.StreamChat(asked("Hola", session_id=session.session_id), metadata=ana.metadata)
    )
    found = await suite.chat.GetSession(
        chat_pb2.GetSessionRequest(session_id=session.session_id), metadata=ana.metadata
    )
    assert (found.session.archived, found.session.title) == (True, "Hola")


@pytest.mark.parametrize(
    ("paths", "field", "changes"),
    [
        ((), "update_mask", {}),
        (("session_id",), "update_mask", {}),
        (("title", "user_id"), "update_mask", {}),
        (("create_time",), "update_mask", {}),
        (("title", "title"), "update_mask", {}),
        (("*", "title"), "update_mask", {}),
        (("Title",), "update_mask", {}),
        (("title.x",), "update_mask", {}),
        (("title",), "session.title", {"title": "x" * 201}),
        (("project",), "session.project", {"project": "x" * 129}),
        (("model",), "session.model", {"model": "x" * 257}),
        (("system_prompt",), "session.system_prompt", {"system_prompt": "é" * 50_001}),
        (("title",), "session.title", {"title": "a\0b"}),
        (("title",), "session.title", {"title": "a\x1b[31mb"}),
        (("title",), "session.title", {"title": "a\u202eb"}),
        (("title",), "session.title", {"title": "a\nb"}),
        (("title",), "session.session_id", {"session_id": "x"}),
        (("title",), "session.session_id", {"session_id": "{01a1fc88-6748-746e-9e22-dab189b59ead}"}),
        (("title",), "session.session_id", {"session_id": "urn:uuid:01a1fc88-6748-746e-9e22-dab189b59ead"}),
        (("title",), "session.session_id", {"session_id": "01a1fc886748746e9e22dab189b59ead"}),
        (("title",), "session.session_id", {"session_id": ""}),
    ],
)
async def test_what_can_not_be_changed_is_named(
    suite: Served, ana: Person, paths: tuple[str, ...], field: str, changes: dict[str, Any]
) -> None:
    session = await opened(suite, ana, title="Old")
    wish = chat_pb2.Session(session_id=session.session_id)
    for name, value in changes.items():
        setattr(wish, name, value)
    found = await failure(update(suite, ana, wish, *paths))
    assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert list(found.fields) == [field]
    if field == "update_mask":
        assert "title, project, model, system_prompt, archived" in found.text
    now = await suite.chat.GetSession(
        chat_pb2.GetSessionRequest(session_id=session.session_id), metadata=ana.metadata
    )
    assert now.session == session


async def test_the_new_model_has_to_be_known(suite: Served, ana: Person) -> None:
    session = await opened(suite, ana)
    session.model = "nobody's"
    assert (await failure(update(suite, ana, session, "model"))).what == ("NOT_FOUND", "MODEL_NOT_FOUND")
    # What is not named is not looked at.
    assert (await update(suite, ana, session, "title")).session.model == ""


async def test_somebody_elses_session_looks_like_none(suite: Served, ana: Person, ben: Person) -> None:
    theirs, absent = (await opened(suite, ana, title="Mine")).session_id, new_id()
    calls: tuple[Callable[[str], Any], ...] = (
        lambda id_: update(suite, ben, chat_pb2.Session(session_id=id_, title="x"), "title"),
        lambda id_: delete(suite, ben, id_),
    )
    for call in calls:
        found = await failure(call(theirs))
        assert found.what == ("NOT_FOUND", "NOT_FOUND")
        assert found.resource == ("chat.session", theirs)
        assert without_id(found, theirs) == without_id(await failure(call(absent)), absent)
    kept = await suite.chat.GetSession(chat_pb2.GetSessionRequest(session_id=theirs), metadata=ana.metadata)
    assert kept.session.title == "Mine"


async def test_a_deleted_session_is_gone_with_all_that_was_said(
    suite: Served, model: Stage, ana: Person
) -> None:
    request = asked("una palabra", request_id=str(uuid.uuid4()))
    started = (await events_of(suite.chat.StreamChat(request, metadata=ana.metadata)))[0].started
    session_id, metadata = started.session_id, ana.metadata
    before = await suite.metered(ana)
    await delete(suite, ana, session_id)
    assert await suite.metered(ana) == before
    again = delete(suite, ana, session_id)
    resume = chat_pb2.ResumeStreamRequest(generation_id=started.generation_id, after_seq=1)
    for call in (
        again,
        suite.chat.GetSession(chat_pb2.GetSessionRequest(session_id=session_id), metadata=metadata),
        suite.chat.ListMessages(chat_pb2.ListMessagesRequest(session_id=session_id), metadata=metadata),
        suite.chat.GetMessage(chat_pb2.GetMessageRequest(message_id=started.message_id), metadata=metadata),
        suite.chat.GetGeneration(
            chat_pb2.GetGenerationRequest(generation_id=started.generation_id), metadata=metadata
        ),
        suite.chat.CancelGeneration(
            chat_pb2.CancelGenerationRequest(generation_id=started.generation_id), metadata=metadata
        ),
        suite.chat.ResumeStream(resume, metadata=metadata),
        # A late retry of what opened it begins nothing anew, and is told nothing of it.
        suite.chat.StreamChat(request, metadata=metadata),
        suite.chat.StreamChat(asked("Hola", session_id=session_id), metadata=metadata),
    ):
        assert (await failure(call)).what == ("NOT_FOUND", "NOT_FOUND")
    assert len(model.exchanges) == 1
    search = chat_pb2.SearchMessagesRequest(query="palabra")
    assert not (await suite.chat.SearchMessages(search, metadata=metadata)).hits


async def test_an_answer_that_is_being_made_is_cancelled(suite: Served, model: Stage, ana: Person) -> None:
    cue = Cue("uno", "dos")
    model.play(cue.play)
    call = suite.chat.StreamChat(asked("Hola"), metadata=ana.metadata)
    started = (await next_event(call)).started
    cue.next()
    await next_event(call)
    await delete(suite, ana, started.session_id)
    async with asyncio.timeout(5):
        await cue.gone.wait()
    events, _ = await told(call)
    assert events[-1].finished.reason == chat_pb2.FINISH_REASON_CANCELLED

    async def metered() -> bool:
        return len(await suite.metered(ana)) == 1

    await until(metered)
    left = await suite.rows(
        "select (select count(*) from chat.generation_events where generation_id = %s),"
        " (select count(*) from chat.messages where message_id = %s)",
        started.generation_id,
        started.message_id,
    )
    assert left == [(0, 0)]
    found = await failure(
        suite.chat.GetGeneration(
            chat_pb2.GetGenerationRequest(generation_id=started.generation_id), metadata=ana.metadata
        )
    )
    assert found.what == ("NOT_FOUND", "NOT_FOUND")
