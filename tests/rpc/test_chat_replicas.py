"""Two suites on one database: what one makes is watched, kept alive and ended through the other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from antiphon.chat.v1 import chat_pb2
from google.protobuf import duration_pb2

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import (
    Person,
    Served,
    assert_dense,
    events_of,
    failure,
    next_event,
    served,
    until,
    words,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

STOP = chat_pb2.ON_DISCONNECT_STOP
# What was left is stopped, and its socket closed, within this time behind its grace.
STOPPED_SECONDS = 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(
    module_url: str, module_stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Served, Served]]:
    """Here and there."""
    async with contextlib.AsyncExitStack() as stack:
        here, there = [
            await stack.enter_async_context(served(module_url, tmp_path_factory.mktemp(name), module_stage))
            for name in ("here", "there")
        ]
        yield here, there


def asked(grace: float | None = None) -> chat_pb2.StreamChatRequest:
    """A call that goes on without watchers, or stops when there has been none for `grace` seconds."""
    request = chat_pb2.StreamChatRequest(message="Tell me")
    if grace is not None:
        request.on_disconnect = STOP
        request.disconnect_grace.CopyFrom(duration_pb2.Duration(nanos=int(grace * 1e9)))
    return request


def resumed(suite: Served, person: Person, generation_id: str, after_seq: int = 0) -> Any:
    request = chat_pb2.ResumeStreamRequest(generation_id=generation_id, after_seq=after_seq)
    return suite.chat.ResumeStream(request, metadata=person.metadata)


async def begun(suite: Served, person: Person, request: chat_pb2.StreamChatRequest) -> tuple[str, Any]:
    """The id of a generation, and the stream of the call that began it."""
    call = suite.chat.StreamChat(request, metadata=person.metadata)
    return (await next_event(call)).started.generation_id, call


async def test_an_answer_is_the_same_wherever_and_whenever_it_is_watched(
    replicas: tuple[Served, Served], model: Stage, ana: Person
) -> None:
    here, there = replicas
    text = [f"{number} " for number in range(60)]
    cue = Cue(*text)
    model.play(cue.play)
    generation_id, call = await begun(here, ana, asked())
    watchers = []
    for number in range(60):
        if number % 12 == 0:
            watchers.append(asyncio.create_task(events_of(resumed(there, ana, generation_id))))
        cue.next()
        # A pause now and then lets the owner learn who watches, and the record grow in many steps.
        await asyncio.sleep(0.05 if number % 2 else 0)
    streams = [await events_of(call), *await asyncio.gather(*watchers)]
    assert_dense(streams[0], 1)
    for stream in streams[1:]:
        assert_dense(stream)
        assert words(stream) == words(streams[0]) == "".join(text)
        assert stream[-1] == streams[0][-1]
    for event in streams[1][:-1]:
        rest = await events_of(resumed(there, ana, generation_id, event.seq))
        assert_dense(rest, event.seq)
    beyond = await failure(resumed(there, ana, generation_id, streams[0][-1].seq + 1))
    assert beyond.what == ("OUT_OF_RANGE", "SEQ_OUT_OF_RANGE")
    assert beyond.metadata["last_seq"] == str(streams[0][-1].seq)


async def test_it_stops_when_the_last_watcher_of_all_replicas_has_left(
    replicas: tuple[Served, Served], model: Stage, ana: Person
) -> None:
    here, there = replicas
    cue = Cue("one ", "two ", "never")
    model.play(cue.play)
    generation_id, call = await begun(here, ana, asked(grace=0))
    watcher = resumed(there, ana, generation_id)
    assert (await next_event(watcher)).started.generation_id == generation_id
    call.cancel()
    for word in ("one ", "two "):
        cue.next()
        assert (await next_event(watcher)).text_delta.text == word
        # Longer than the owner takes to renew its lease, and to ask who watches.
        await asyncio.sleep(0.6)
    assert not cue.gone.is_set()
    watcher.cancel()
    async with asyncio.timeout(STOPPED_SECONDS):
        await cue.gone.wait()


async def test_who_comes_back_through_another_replica_in_time_keeps_it_alive(
    replicas: tuple[Served, Served], model: Stage, ana: Person
) -> None:
    here, there = replicas
    cue = Cue("one ", "two")
    model.play(cue.play)
    generation_id, call = await begun(here, ana, asked(grace=0.5))
    call.cancel()
    watcher = resumed(there, ana, generation_id)
    await next_event(watcher)
    await asyncio.sleep(1)
    cue.next(2)
    events = await events_of(watcher)
    assert words(events) == "one two"
    assert events[-1].finished.reason == chat_pb2.FINISH_REASON_STOP


async def test_a_cancellation_through_another_replica_takes_about_a_second(
    replicas: tuple[Served, Served], model: Stage, ana: Person
) -> None:
    here, there = replicas
    cue = Cue("one ", "never")
    model.play(cue.play)
    generation_id, call = await begun(here, ana, asked())
    began = time.monotonic()
    cancel = chat_pb2.CancelGenerationRequest(generation_id=generation_id)
    response = await there.chat.CancelGeneration(cancel, metadata=ana.metadata)
    assert response.generation.state == chat_pb2.GENERATION_STATE_CANCELLED
    assert time.monotonic() - began < 2.5
    assert (await events_of(call))[-1].finished.reason == chat_pb2.FINISH_REASON_CANCELLED
    async with asyncio.timeout(1):
        await cue.gone.wait()


@pytest.mark.long
async def test_watchers_go_on_when_the_database_ends_their_listener(
    replicas: tuple[Served, Served], model: Stage, ana: Person
) -> None:
    here, there = replicas
    text = [f"{number} " for number in range(40)]
    cue = Cue(*text)
    model.play(cue.play)
    generation_id, _ = await begun(here, ana, asked())
    reading = asyncio.create_task(events_of(resumed(there, ana, generation_id)))
    for number in range(40):
        cue.next()
        await asyncio.sleep(0.1)
        if number in (15, 25):
            assert await there.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity where query = 'listen chat_tail'"
            )
    events = await reading
    assert_dense(events)
    assert words(events) == "".join(text)


@pytest.mark.long
async def test_watches_and_listeners_are_gone_when_nobody_watches(
    replicas: tuple[Served, Served], model: Stage, ana: Person
) -> None:
    here, there = replicas
    cue = Cue("one ", "two")
    model.play(cue.play)
    generation_id, call = await begun(here, ana, asked())
    watchers = [resumed(there, ana, generation_id) for _ in range(20)]
    for watcher in watchers:
        await next_event(watcher)
    rows = "select generation_id::text from chat.watches where generation_id = %s"
    assert await here.rows(rows, generation_id) == [(generation_id,)]
    for watcher in watchers:
        watcher.cancel()

    async def none_left() -> bool:
        listeners = await here.rows("select 1 from pg_stat_activity where query = 'listen chat_tail'")
        return not await here.rows(rows, generation_id) and not listeners

    await until(none_left, 10)
    cue.next(2)
    await events_of(call)
