"""Whose an answer is: people's own, and of those without a credential whoever holds the token."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2

from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.ids import new_id
from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import SECRET, Failed, Person, Served, assert_dense, events_of, failure, words

pytestmark = pytest.mark.asyncio(loop_scope="module")


def asked(**more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(**{"message": "Hola", **more})


def shape(found: Failed, absent: str) -> tuple[Any, ...]:
    """All that the failure tells, with the id that was asked for left out."""
    resource = found.resource and (found.resource[0], found.resource[1].replace(absent, "ID"))
    return (
        found.what,
        found.text.replace(absent, "ID"),
        dict(found.metadata),
        found.fields,
        found.retry,
        resource,
    )


async def test_somebody_elses_generation_looks_like_none(
    suite: Served, model: Stage, ana: Person, ben: Person
) -> None:
    events = await events_of(suite.chat.StreamChat(asked(), metadata=ana.metadata))
    generation_id, absent = events[0].started.generation_id, new_id()

    def attempts(id_: str, metadata: Any) -> list[Any]:
        return [
            suite.chat.GetGeneration(chat_pb2.GetGenerationRequest(generation_id=id_), metadata=metadata),
            suite.chat.CancelGeneration(
                chat_pb2.CancelGenerationRequest(generation_id=id_), metadata=metadata
            ),
            suite.chat.ResumeStream(chat_pb2.ResumeStreamRequest(generation_id=id_), metadata=metadata),
        ]

    service = ServiceTokens(SECRET, "analytics").metadata()
    for metadata in (ben.metadata, None, service):
        for theirs, nobodys in zip(
            attempts(generation_id, metadata), attempts(absent, metadata), strict=True
        ):
            found = await failure(theirs)
            assert found.what == ("NOT_FOUND", "NOT_FOUND")
            assert found.resource == ("chat.generation", generation_id)
            assert shape(found, generation_id) == shape(await failure(nobodys), absent)


async def test_somebody_elses_session_looks_like_none(
    suite: Served, model: Stage, ana: Person, ben: Person
) -> None:
    created = await suite.chat.CreateSession(chat_pb2.CreateSessionRequest(), metadata=ana.metadata)
    session_id, absent = created.session.session_id, new_id()

    def attempts(id_: str, metadata: Any) -> list[Any]:
        return [
            suite.chat.GetSession(chat_pb2.GetSessionRequest(session_id=id_), metadata=metadata),
            suite.chat.ListMessages(chat_pb2.ListMessagesRequest(session_id=id_), metadata=metadata),
            suite.chat.StreamChat(asked(session_id=id_), metadata=metadata),
            suite.chat.Chat(chat_pb2.ChatRequest(message="Hola", session_id=id_), metadata=metadata),
        ]

    for theirs, nobodys in zip(
        attempts(session_id, ben.metadata), attempts(absent, ben.metadata), strict=True
    ):
        found = await failure(theirs)
        assert found.what == ("NOT_FOUND", "NOT_FOUND")
        assert found.resource == ("chat.session", session_id)
        assert shape(found, session_id) == shape(await failure(nobodys), absent)
    assert not model.exchanges
    assert (
        await suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=ben.metadata)
    ).total_size == 0


async def test_a_service_acts_for_a_person_and_both_are_told_apart(
    suite: Served, model: Stage, ana: Person
) -> None:
    tokens = ServiceTokens(SECRET, "gateway")
    events = await events_of(suite.chat.StreamChat(asked(), metadata=tokens.metadata(ana.user_id)))
    request = chat_pb2.GetGenerationRequest(generation_id=events[0].started.generation_id)
    found = await suite.chat.GetGeneration(request, metadata=ana.metadata)
    assert found.generation.session_id == events[0].started.session_id
    assert [event.user_id for event in await suite.metered(ana)] == [ana.user_id]


async def test_anonymous_callers_get_an_answer_and_a_token_for_it(suite: Served, model: Stage) -> None:
    before = await suite.stored()
    events = await events_of(suite.chat.StreamChat(asked()))
    started = events[0].started
    assert words(events) == "Bien, gracias."
    assert not started.session_id
    assert len(started.resume_token) >= 32
    after = await suite.stored()
    # An answer, and no session.
    assert tuple(now - then for now, then in zip(after, before, strict=True)) == (0, 1, 1, 0, 1, 0, 0)

    request = chat_pb2.ResumeStreamRequest(
        generation_id=started.generation_id, after_seq=1, resume_token=started.resume_token
    )
    rest = await events_of(suite.chat.ResumeStream(request))
    assert_dense(rest, 1)
    assert words(rest) == words(events)
    whole = await events_of(
        suite.chat.ResumeStream(
            chat_pb2.ResumeStreamRequest(
                generation_id=started.generation_id, resume_token=started.resume_token
            )
        )
    )
    assert whole[0].started.resume_token == started.resume_token
    fields = {"generation_id": started.generation_id, "resume_token": started.resume_token}
    found = (await suite.chat.GetGeneration(chat_pb2.GetGenerationRequest(**fields))).generation
    kept = (await suite.chat.CancelGeneration(chat_pb2.CancelGenerationRequest(**fields))).generation
    assert found == kept
    assert found.state == chat_pb2.GENERATION_STATE_COMPLETED


async def test_an_anonymous_answer_needs_its_own_token(suite: Served, model: Stage, ana: Person) -> None:
    first, second = await asyncio.gather(*(events_of(suite.chat.StreamChat(asked())) for _ in range(2)))
    generation_id = first[0].started.generation_id
    token = first[0].started.resume_token
    for wrong in ("", "x", "é" * 40, second[0].started.resume_token, token[:-1], token + "0", token.upper()):
        if wrong == token:
            continue
        for metadata in (None, ana.metadata):
            request = chat_pb2.GetGenerationRequest(generation_id=generation_id, resume_token=wrong)
            found = await failure(suite.chat.GetGeneration(request, metadata=metadata))
            assert found.what == ("NOT_FOUND", "NOT_FOUND")


async def test_anonymous_callers_have_no_sessions(suite: Served, model: Stage) -> None:
    found = await failure(suite.chat.StreamChat(asked(session_id=new_id())))
    assert found.what == ("NOT_FOUND", "NOT_FOUND")
    assert not model.exchanges


@pytest.mark.parametrize(
    "request_id",
    [
        "01a1fb2e-6754-70ee-b4ae-34a9f6a28603",
        "d825879e-e535-11f1-9fcf-02fc00000001",
        str(uuid.uuid5(uuid.NAMESPACE_DNS, "a")),
        str(uuid.UUID(int=0)),
    ],
)
async def test_request_ids_of_anonymous_callers_are_random(
    suite: Served, model: Stage, request_id: str
) -> None:
    for call in (
        suite.chat.StreamChat(asked(request_id=request_id)),
        suite.chat.Chat(chat_pb2.ChatRequest(message="Hola", request_id=request_id)),
    ):
        found = await failure(call)
        assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
        assert list(found.fields) == ["request_id"]
    assert not model.exchanges


async def test_an_anonymous_call_can_be_repeated(suite: Served, model: Stage) -> None:
    request = asked(request_id=str(uuid.uuid4()))
    first = await events_of(suite.chat.StreamChat(request))
    again = await events_of(suite.chat.StreamChat(request))
    assert again[0] == first[0]
    assert words(again) == words(first)
    assert len(model.exchanges) == 1
    whole = await suite.chat.Chat(chat_pb2.ChatRequest(message="Hola", request_id=request.request_id))
    assert whole.generation.generation_id == first[0].started.generation_id
    assert whole.resume_token == first[0].started.resume_token


async def test_an_administrator_lists_the_sessions_of_others_and_nobody_else_does(
    suite: Served, ana: Person, ben: Person
) -> None:
    created = await suite.chat.CreateSession(
        chat_pb2.CreateSessionRequest(title="Mine"), metadata=ana.metadata
    )
    request = chat_pb2.ListSessionsRequest(user_id=ana.user_id.upper())
    found = await failure(suite.chat.ListSessions(request, metadata=ben.metadata))
    assert found.what == ("PERMISSION_DENIED", "ROLE_REQUIRED")
    assert found.metadata == {"role": "admin"}
    own = await suite.chat.ListSessions(request, metadata=ana.metadata)
    assert [session.session_id for session in own.sessions] == [created.session.session_id]
    admin = await suite.administrator()
    listed = await suite.chat.ListSessions(request, metadata=admin)
    assert listed.sessions == own.sessions
    # What is in it is the person's alone: these requests have no `user_id` to ask by.
    found = await failure(
        suite.chat.GetSession(
            chat_pb2.GetSessionRequest(session_id=created.session.session_id), metadata=admin
        )
    )
    assert found.what == ("NOT_FOUND", "NOT_FOUND")
