"""The same call again, at another replica and after a kill: it joins what is being made, replays what was made, and makes nothing twice."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2

from tests.e2e.chat_witness import chat_at
from tests.e2e.suite_process import SuiteProcess
from tests.fakes.chat_stage import CLOSED, MODELS, Cue, Stage, stage
from tests.fakes.served_suite import (
    DJANGO_KEY,
    SECRET_KEY,
    Person,
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

pytestmark = pytest.mark.long

LEASE = {"ANTIPHON_CHAT__LEASE_TTL": "1"}


@pytest.fixture
async def model() -> AsyncIterator[Stage]:
    async with stage() as made:
        yield made


@pytest.fixture
async def replicas(migrated_url: str, tmp_path: Path, model: Stage) -> AsyncIterator[tuple[Served, Served]]:
    """Two suites on one database."""
    async with (
        served(migrated_url, tmp_path / "here", model, **LEASE) as here,
        served(migrated_url, tmp_path / "there", model, **LEASE) as there,
    ):
        yield here, there


@pytest.fixture(params=["logged in", "anonymous"])
def person(request: pytest.FixtureRequest) -> Person | None:
    return somebody() if request.param == "logged in" else None


def of(person: Person | None) -> Any:
    return person.metadata if person is not None else None


def asked(**more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(**{"message": "Tell me", "request_id": str(uuid.uuid4()), **more})


async def test_at_another_replica_it_joins_and_later_replays(
    replicas: tuple[Served, Served], model: Stage, person: Person | None
) -> None:
    here, there = replicas
    cue = Cue("one ", "two ", "three")
    model.play(cue.play)
    request = asked()
    first = here.chat.StreamChat(request, metadata=of(person))
    events = [await next_event(first)]
    cue.next()
    events.append(await next_event(first))
    second = there.chat.StreamChat(request, metadata=of(person))
    joined = [await next_event(second)]
    # To anonymous callers, too, it is the same answer: the request_id is theirs alone.
    assert joined[0].started == events[0].started
    cue.next(2)
    events += await events_of(first)
    joined += await events_of(second)
    for one in (events, joined):
        assert_dense(one)
        assert words(one) == "one two three"
    for suite in (here, there):
        again = await events_of(suite.chat.StreamChat(request, metadata=of(person)))
        assert_dense(again)
        assert again[0].started == events[0].started
        assert again[-1] == events[-1]
        assert words(again) == "one two three"
        whole = await suite.chat.GetGeneration(
            chat_pb2.GetGenerationRequest(
                generation_id=events[0].started.generation_id, resume_token=events[0].started.resume_token
            ),
            metadata=of(person),
        )
        assert whole.generation.text == "one two three"
    assert len(model.exchanges) == 1
    assert await here.rows("select count(*) from chat.generations") == [(1,)]
    assert await here.rows("select count(*) from chat.outbox") == [(1,)]


async def test_another_body_is_refused_at_both(
    replicas: tuple[Served, Served], model: Stage, person: Person | None
) -> None:
    here, _ = replicas
    cue = Cue("one")
    model.play(cue.play)
    request = asked()
    call = here.chat.StreamChat(request, metadata=of(person))
    await next_event(call)
    other = asked(request_id=request.request_id, message="Tell me more")
    for ended in (False, True):
        for suite in replicas:
            refused = await failure(suite.chat.StreamChat(other, metadata=of(person)))
            assert refused.what == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
            assert refused.metadata == {"request_id": request.request_id}
        if not ended:
            cue.next()
            assert words(await events_of(call)) == "one"
    assert len(model.exchanges) == 1


async def test_the_request_id_of_one_is_nothing_to_others(
    replicas: tuple[Served, Served], model: Stage
) -> None:
    here, there = replicas
    request = asked()
    mine, yours = somebody(), somebody()
    first = await events_of(here.chat.StreamChat(request, metadata=mine.metadata))
    second = await events_of(there.chat.StreamChat(request, metadata=yours.metadata))
    assert first[0].started.generation_id != second[0].started.generation_id
    assert len(model.exchanges) == 2


async def test_what_failed_before_the_first_token_may_be_asked_again_anywhere(
    replicas: tuple[Served, Served], model: Stage, person: Person | None
) -> None:
    here, there = replicas

    async def refuse(exchange: Any) -> None:
        await exchange.answer(400, "application/json", b'{"error": {"message": "no"}}')

    model.play(refuse)
    request = asked()
    refused = await failure(here.chat.StreamChat(request, metadata=of(person)))
    assert refused.what == ("FAILED_PRECONDITION", "PROVIDER_REFUSED")
    model.clear()
    assert words(await events_of(there.chat.StreamChat(request, metadata=of(person)))) == "Bien, gracias."
    assert len(model.exchanges) == 1
    assert await here.rows("select state, count(*) from chat.generations group by state order by 1") == [
        ("completed", 1),
        ("failed", 1),
    ]
    assert await here.rows("select count(*) from chat.outbox") == [(2,)]


async def test_what_failed_behind_its_first_token_is_told_again(
    replicas: tuple[Served, Served], model: Stage, person: Person | None
) -> None:
    here, there = replicas

    async def break_off(exchange: Any) -> None:
        await exchange.head()
        await exchange.chunk(b'data: {"choices": [{"index": 0, "delta": {"content": "Well"}}]}\n\n')
        exchange.reset()

    model.play(break_off)
    request = asked()
    first, failed = await told(here.chat.StreamChat(request, metadata=of(person)))
    model.clear()
    second, again = await told(there.chat.StreamChat(request, metadata=of(person)))
    assert failed is not None
    assert again is not None
    assert (words(first), failed.what) == ("Well", ("UNAVAILABLE", "PROVIDER_UNAVAILABLE"))
    assert (words(second), again.what) == (words(first), failed.what)
    assert second[0].started == first[0].started
    assert model.exchanges == []


def write_catalog(folder: Path, model: Stage) -> None:
    folder.mkdir()
    (folder / "models.toml").write_text(MODELS.format(stage=model.upstream.base_url, closed=CLOSED))


@contextlib.asynccontextmanager
async def process(url: str, folder: Path, model: Stage) -> AsyncIterator[SuiteProcess]:
    """A replica that can be killed."""
    write_catalog(folder, model)
    suite = SuiteProcess(
        folder,
        settings={
            "DATABASE_URL": url,
            "JWT_SECRET_KEY": DJANGO_KEY,
            "ANTIPHON_SECRET_KEY": SECRET_KEY,
            "ANTIPHON_CHAT__MODELS_FILE": str(folder / "models.toml"),
            **LEASE,
        },
    )
    try:

        async def up() -> bool:
            assert suite.process.poll() is None, suite.err
            return suite.is_up

        await until(up, 40)
        yield suite
    finally:
        suite.kill()


async def test_after_a_kill_it_gets_the_interrupted_record_and_nothing_is_made_twice(
    migrated_url: str, tmp_path: Path, model: Stage, person: Person | None
) -> None:
    cue = Cue("one ", "never")
    model.play(cue.play)
    request = asked()
    async with (
        served(migrated_url, tmp_path / "there", model, **LEASE) as there,
        process(migrated_url, tmp_path / "here", model) as here,
    ):
        async with chat_at(here.address) as stub:
            call = stub.StreamChat(request, metadata=of(person))
            held = [await next_event(call)]
            cue.next()
            held.append(await next_event(call))
            here.kill()
            _, gone = await told(call)
        assert gone is not None
        assert gone.code.name == "UNAVAILABLE"
        # The first one joins the record while it still counts as running, and learns its end with the take-over.
        for _ in range(2):
            events, status = await told(there.chat.StreamChat(request, metadata=of(person)))
            assert_dense(events)
            assert events[0].started == held[0].started
            assert words(events) == words(held) == "one "
            assert status is not None
            assert status.what == ("ABORTED", "GENERATION_INTERRUPTED")
        other = asked(request_id=request.request_id, message="Tell me more")
        assert (
            await failure(there.chat.StreamChat(other, metadata=of(person)))
        ).reason == "REQUEST_ID_REUSED"
        assert len(model.exchanges) == 1
        assert await there.rows("select state from chat.generations") == [("interrupted",)]
        assert await there.rows("select count(*) from chat.outbox") == [(1,)]


async def test_after_a_kill_before_the_first_token_the_take_over_frees_the_request_id(
    migrated_url: str, tmp_path: Path, model: Stage, person: Person | None
) -> None:
    model.play(Cue("never").play)
    request = asked()
    async with (
        served(migrated_url, tmp_path / "there", model, **LEASE) as there,
        process(migrated_url, tmp_path / "here", model) as here,
    ):
        async with chat_at(here.address) as stub:
            call = stub.StreamChat(request, metadata=of(person))
            held = await next_event(call)
            await model.asked()
            here.kill()
            await told(call)
        # Whoever asks before the take-over joins what runs as far as anybody knows, and is told what became of it.
        events, status = await told(there.chat.StreamChat(request, metadata=of(person)))
        assert [event.started for event in events] == [held.started]
        assert status is not None
        assert status.what == ("ABORTED", "GENERATION_INTERRUPTED")
        model.clear()
        events = await events_of(there.chat.StreamChat(request, metadata=of(person)))
        assert words(events) == "Bien, gracias."
        assert events[0].started.generation_id != held.started.generation_id
        assert await there.rows("select state, count(*) from chat.generations group by state order by 1") == [
            ("completed", 1),
            ("interrupted", 1),
        ]
        assert await there.rows("select count(*) from chat.outbox") == [(2,)]
