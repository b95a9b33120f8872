"""A suite whose Chat is on MongoDB: what callers are promised, by several replicas, and what they are told after crashes."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2
from google.protobuf import field_mask_pb2

from services.infra.mongo.client import Mongo
from tests.fakes.chat_stage import Cue, Stage, stage
from tests.fakes.served_suite import (
    Person,
    Serve,
    Served,
    assert_dense,
    events_of,
    failure,
    next_event,
    served,
    somebody,
    told,
    until,
    words,
)

INTERRUPTED = chat_pb2.GENERATION_STATE_INTERRUPTED


@pytest.fixture
async def model() -> AsyncIterator[Stage]:
    """The scripted model."""
    async with stage() as made:
        yield made


@pytest.fixture
def serve(migrated_url: str, mongo_url: str, model: Stage, tmp_path: Path) -> Serve:
    """Starts suites with Auth on one PostgreSQL and Chat on one MongoDB."""

    def start(**environ: str) -> contextlib.AbstractAsyncContextManager[Served]:
        settings = {
            "ANTIPHON_CHAT__STORE": "mongo",
            "MONGODB_URL": mongo_url,
            "ANTIPHON_CHAT__LEASE_TTL": "1s",
            **environ,
        }
        return served(migrated_url, tmp_path, model, **settings)

    return start


@pytest.fixture
def ana() -> Person:
    """Somebody new."""
    return somebody()


def asked(**more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(**{"message": "¿Cómo estás?", **more})


def resumed(suite: Served, person: Person, generation_id: str, after_seq: int = 0) -> Any:
    request = chat_pb2.ResumeStreamRequest(generation_id=generation_id, after_seq=after_seq)
    return suite.chat.ResumeStream(request, metadata=person.metadata)


async def generation(suite: Served, person: Person, generation_id: str) -> chat_pb2.Generation:
    request = chat_pb2.GetGenerationRequest(generation_id=generation_id)
    return (await suite.chat.GetGeneration(request, metadata=person.metadata)).generation


async def listed(suite: Served, person: Person, session_id: str) -> list[str]:
    request = chat_pb2.ListMessagesRequest(session_id=session_id)
    response = await suite.chat.ListMessages(request, metadata=person.metadata)
    return ["".join(part.text for part in message.parts) for message in response.messages][::-1]


async def test_an_answer_is_streamed_once_and_told_again(serve: Serve, model: Stage, ana: Person) -> None:
    async with serve() as suite:
        request = asked(request_id=str(uuid.uuid4()))
        events = await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
        assert_dense(events)
        assert words(events) == "Bien, gracias."
        started = events[0].started
        for again in (
            await events_of(suite.chat.StreamChat(request, metadata=ana.metadata)),
            await events_of(resumed(suite, ana, started.generation_id)),
        ):
            assert_dense(again)
            assert (again[0], again[-1]) == (events[0], events[-1])
            assert words(again) == words(events)
        assert len(model.exchanges) == 1
        rest = await events_of(resumed(suite, ana, started.generation_id, 1))
        assert_dense(rest, 1)
        beyond = await failure(resumed(suite, ana, started.generation_id, events[-1].seq + 1))
        assert beyond.what == ("OUT_OF_RANGE", "SEQ_OUT_OF_RANGE")
        request.message = "another one"
        reused = await failure(suite.chat.StreamChat(request, metadata=ana.metadata))
        assert reused.what == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
        found = await generation(suite, ana, started.generation_id)
        assert (found.text, found.state) == ("Bien, gracias.", chat_pb2.GENERATION_STATE_COMPLETED)
        stranger = await failure(resumed(suite, somebody(), started.generation_id))
        assert stranger.code.name == "NOT_FOUND"
        assert await listed(suite, ana, started.session_id) == ["¿Cómo estás?", "Bien, gracias."]


async def test_sessions_are_made_changed_forked_searched_and_deleted(serve: Serve, ana: Person) -> None:
    async with serve() as suite:
        chat = suite.chat
        mine: dict[str, Any] = {"metadata": ana.metadata}
        made = (
            await chat.CreateSession(chat_pb2.CreateSessionRequest(title="Viaje", project="p"), **mine)
        ).session
        events = await events_of(chat.StreamChat(asked(session_id=made.session_id), metadata=ana.metadata))
        changed = chat_pb2.Session(session_id=made.session_id, title="Viaje a Lima")
        mask = field_mask_pb2.FieldMask(paths=["title"])
        update = chat_pb2.UpdateSessionRequest(session=changed, update_mask=mask)
        assert (await chat.UpdateSession(update, **mine)).session.title == "Viaje a Lima"

        note = chat_pb2.CreateMessageRequest(
            request_id=str(uuid.uuid4()),
            session_id=made.session_id,
            message=chat_pb2.Message(
                role=chat_pb2.MESSAGE_ROLE_USER, parts=[chat_pb2.Part(text="Nos vamos a Arequipa")]
            ),
        )
        added = (await chat.CreateMessage(note, **mine)).message
        assert (await chat.CreateMessage(note, **mine)).message == added
        hits = (await chat.SearchMessages(chat_pb2.SearchMessagesRequest(query="AREQUIPA"), **mine)).hits
        assert [hit.message.message_id for hit in hits] == [added.message_id]

        fork = chat_pb2.ForkSessionRequest(
            session_id=made.session_id, message_id=events[-1].finished.message_id, title="Otra"
        )
        forked = (await chat.ForkSession(fork, **mine)).session
        assert await listed(suite, ana, forked.session_id) == ["¿Cómo estás?", "Bien, gracias."]
        await events_of(chat.StreamChat(asked(session_id=forked.session_id), metadata=ana.metadata))
        assert len(await listed(suite, ana, forked.session_id)) == 4
        assert len(await listed(suite, ana, made.session_id)) == 3

        sessions = await chat.ListSessions(chat_pb2.ListSessionsRequest(page_size=1), **mine)
        assert [session.session_id for session in sessions.sessions] == [forked.session_id]
        assert sessions.total_size == 2
        await chat.DeleteSession(chat_pb2.DeleteSessionRequest(session_id=made.session_id), **mine)
        gone = await failure(
            chat.GetSession(chat_pb2.GetSessionRequest(session_id=made.session_id), metadata=ana.metadata)
        )
        assert gone.code.name == "NOT_FOUND"
        hits = (await chat.SearchMessages(chat_pb2.SearchMessagesRequest(query="arequipa"), **mine)).hits
        assert list(hits) == []
        assert len(await listed(suite, ana, forked.session_id)) == 4


async def test_one_replica_watches_and_ends_what_another_makes(
    serve: Serve, model: Stage, ana: Person
) -> None:
    async with serve() as here, serve() as there:
        cue = Cue("one ", "two ", "three ", "never")
        model.play(cue.play)
        call = here.chat.StreamChat(asked(), metadata=ana.metadata)
        started = (await next_event(call)).started
        watching = resumed(there, ana, started.generation_id)
        assert (await next_event(watching)).started == started
        for word in ("one ", "two ", "three "):
            cue.next()
            assert (await next_event(call)).text_delta.text == word
            assert (await next_event(watching)).text_delta.text == word
        cancel = chat_pb2.CancelGenerationRequest(generation_id=started.generation_id)
        ended = (await there.chat.CancelGeneration(cancel, metadata=ana.metadata)).generation
        assert ended.state in (
            chat_pb2.GENERATION_STATE_CANCELLED,
            chat_pb2.GENERATION_STATE_RUNNING,
        )
        for stream in (call, watching):
            rest = await events_of(stream)
            assert rest[-1].finished.reason == chat_pb2.FINISH_REASON_CANCELLED
        found = await generation(there, ana, started.generation_id)
        assert (found.state, found.text) == (chat_pb2.GENERATION_STATE_CANCELLED, "one two three ")


async def test_a_deleted_session_takes_along_what_is_being_made_in_it(
    serve: Serve, mongo_url: str, model: Stage, ana: Person
) -> None:
    async with serve() as suite, Mongo(mongo_url) as mongo:
        cue = Cue("secreto ", "never")
        model.play(cue.play)
        call = suite.chat.StreamChat(asked(message="privado"), metadata=ana.metadata)
        started = (await next_event(call)).started
        cue.next()
        await next_event(call)
        delete = chat_pb2.DeleteSessionRequest(session_id=started.session_id)
        await suite.chat.DeleteSession(delete, metadata=ana.metadata)
        await told(call)

        async def ended() -> bool:
            document = await mongo["chat_generations"].find_one({"_id": started.generation_id})
            return document is not None and document["state"] == "cancelled"

        await until(ended)
        names = await mongo.database.list_collection_names()

        async def clean() -> bool:
            dump = "".join([str(found) for name in names async for found in mongo[name].find()])
            return "privado" not in dump and "secreto" not in dump

        await until(clean)


async def test_what_a_dead_replica_was_making_is_interrupted_by_another(
    serve: Serve, mongo_url: str, model: Stage, ana: Person
) -> None:
    cue = Cue("one ", "two ", "never")
    model.play(cue.play)
    async with serve() as there:
        async with serve(ANTIPHON_SERVER__GRACE="0.2") as here:
            call = here.chat.StreamChat(asked(), metadata=ana.metadata)
            events = [await next_event(call)]
            for _ in range(2):
                cue.next()
                events.append(await next_event(call))
        generation_id = events[0].started.generation_id

        async def interrupted() -> bool:
            return (await generation(there, ana, generation_id)).state == INTERRUPTED

        await until(interrupted, 15)
        seen, failed = await told(resumed(there, ana, generation_id))
        assert_dense(seen)
        assert words(seen) == "one two "
        assert failed is not None
        assert failed.what == ("ABORTED", "GENERATION_INTERRUPTED")
        assert await listed(there, ana, events[0].started.session_id) == ["¿Cómo estás?", "one two "]


async def test_limits_hold_for_all_replicas_together(serve: Serve, ana: Person) -> None:
    async with serve(ANTIPHON_LIMITS__DEFAULT="6") as here, serve(ANTIPHON_LIMITS__DEFAULT="6") as there:

        async def ask(suite: Served) -> bool:
            try:
                await suite.chat.ListModels(chat_pb2.ListModelsRequest(), metadata=ana.metadata)
            except grpc.aio.AioRpcError as error:
                return error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED
            return True

        let_in = await asyncio.gather(*(ask(suite) for suite in (here, there) for _ in range(6)))
        assert sum(let_in) == 6
