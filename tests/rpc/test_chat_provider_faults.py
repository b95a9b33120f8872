"""Models that refuse, hang, break off and send nonsense: what the caller is told, now and whenever it asks again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.chat_stage import Stage
from tests.fakes.chat_upstream import Exchange, Script, event, stop, text
from tests.fakes.served_suite import Failed, Person, Served, events_of, failed, failure, told, words

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]


@pytest.fixture(scope="module")
def suite_environ() -> dict[str, str]:
    return {
        "ANTIPHON_CHAT__CONNECT_TIMEOUT": "0.3",
        "ANTIPHON_CHAT__FIRST_TOKEN_TIMEOUT": "0.3",
        "ANTIPHON_CHAT__IDLE_TIMEOUT": "0.5",
        "ANTIPHON_CHAT__TOTAL_TIMEOUT": "2",
        "ANTIPHON_CHAT__MAX_ANSWER_BYTES": "20000",
        # What one fault does is told by itself here; how models are asked again, and left alone, is told elsewhere.
        "ANTIPHON_CHAT__RETRIES": "0",
        "ANTIPHON_CHAT__BREAKER_FAILURES": "0",
    }


def answering(status: int, body: str = "{}", kind: str = "application/json", **headers: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, kind, body.encode(), **headers)

    return script


async def hang(exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def close_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def hang_behind_the_head(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.chunk(b": keep-alive\n\n")
    await asyncio.Event().wait()


async def _two_words(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.chunk(event(text("one ")))
    await exchange.chunk(event(text("two ")))


async def hang_half_way(exchange: Exchange) -> None:
    await _two_words(exchange)
    await asyncio.Event().wait()


async def never_end(exchange: Exchange) -> None:
    await _two_words(exchange)
    while not exchange.gone.is_set():
        await exchange.chunk(event(text("x")))
        await asyncio.sleep(0.05)


async def babble(exchange: Exchange) -> None:
    await _two_words(exchange)
    while not exchange.gone.is_set():
        await exchange.chunk(event(text("x" * 1000)))


async def break_off(exchange: Exchange) -> None:
    await _two_words(exchange)
    # What was said is on its way before the line is cut.
    await asyncio.sleep(0.05)
    exchange.reset()


async def end_early(exchange: Exchange) -> None:
    await _two_words(exchange)
    await exchange.end()


async def broken_json(exchange: Exchange) -> None:
    await _two_words(exchange)
    await exchange.chunk(b'data: {"choices": [{"delta": {"content": \n\n')
    await asyncio.Event().wait()


async def endless_line(exchange: Exchange) -> None:
    await _two_words(exchange)
    for _ in range(1600):
        await exchange.chunk(b"x" * 64 * 1024)
    await asyncio.Event().wait()


async def not_the_protocol(exchange: Exchange) -> None:
    await _two_words(exchange)
    await exchange.chunk(b'data: {"choices": "many"}\n\n')
    await asyncio.Event().wait()


async def error_in_the_stream(exchange: Exchange) -> None:
    await _two_words(exchange)
    await exchange.chunk(event({"error": {"message": "the GPU is on fire", "code": 500}}))
    await exchange.end()


@dataclass(frozen=True)
class Fault:
    """`made` is what was said before it; `metadata` and `retry` are what the caller is told beside code and reason."""

    script: Script
    code: str
    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    made: str = ""
    retry: float | None = None
    model: str = "scripted"


def unavailable(
    script: Script, made: str = "", reason: str = "PROVIDER_UNAVAILABLE", **metadata: str
) -> Fault:
    return Fault(script, "UNAVAILABLE", reason, metadata, made, 1.0)


def silent(script: Script, stage: str, made: str = "") -> Fault:
    return Fault(script, "DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT", {"stage": stage}, made)


def credential(status: int) -> Fault:
    said = '{"error": {"message": "Incorrect API key provided: sk-secret"}}'
    return Fault(
        answering(status, said), "FAILED_PRECONDITION", "PROVIDER_CREDENTIAL", {"http_status": str(status)}
    )


def gone(status: int, said: str) -> Fault:
    metadata = {
        "http_status": str(status),
        "detail": "correct its `upstream`, or its provider's `base_url`, in the catalog",
    }
    return Fault(answering(status, said), "FAILED_PRECONDITION", "MODEL_NOT_READY", metadata)


FAULTS = {
    "it can't be reached": Fault(hang, "UNAVAILABLE", "PROVIDER_UNAVAILABLE", {}, "", 1.0, "away"),
    "it closes the connection": unavailable(close_at_once),
    "it says nothing": silent(hang, "first_token"),
    "it keeps the line alive and says nothing": silent(hang_behind_the_head, "first_token"),
    "it falls silent": silent(hang_half_way, "between_tokens", "one two "),
    "it breaks off": unavailable(break_off, "one two "),
    "it ends early": unavailable(end_early, "one two "),
    "it sends broken JSON": unavailable(broken_json, "one two ", "PROVIDER_PROTOCOL"),
    "it sends something else": unavailable(not_the_protocol, "one two ", "PROVIDER_PROTOCOL"),
    "it fails while it answers": unavailable(error_in_the_stream, "one two "),
    "it sends a line of 100 MB": unavailable(endless_line, "one two ", "PROVIDER_PROTOCOL"),
    "it answers with an error and 200": unavailable(answering(200, '{"error": {"message": "overloaded"}}')),
    "it is a web page": unavailable(
        answering(200, "<html>hello</html>", "text/html"), reason="PROVIDER_PROTOCOL"
    ),
    "it answers with nothing": unavailable(answering(200, ""), reason="PROVIDER_PROTOCOL"),
    "it is compressed": unavailable(
        answering(200, "x", "text/event-stream", Content_Encoding="gzip"), reason="PROVIDER_PROTOCOL"
    ),
    "401": credential(401),
    "403": credential(403),
    "400": Fault(
        answering(400, '{"error": {"message": "max_tokens is too large"}}'),
        "FAILED_PRECONDITION",
        "PROVIDER_REFUSED",
        {"http_status": "400"},
    ),
    "404": gone(404, "{}"),
    "404 from a web server": gone(404, "<html>not here</html>"),
    "410": gone(410, "{}"),
    "400 for a model that is gone": gone(400, '{"error": {"code": "unknown_model"}}'),
    "a redirection": Fault(
        answering(302, "", Location="http://127.0.0.1:9/"),
        "FAILED_PRECONDITION",
        "MODEL_NOT_READY",
        {
            "http_status": "302",
            "detail": "correct its provider's `base_url` in the catalog: redirects are not followed",
        },
    ),
    "429": Fault(
        answering(429), "RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED", {"http_status": "429"}, retry=5.0
    ),
    "500": unavailable(answering(500, "oops", "text/plain"), http_status="500"),
    "503": Fault(answering(503), "UNAVAILABLE", "PROVIDER_UNAVAILABLE", {"http_status": "503"}, retry=5.0),
}


async def broken(call: Any) -> tuple[list[chat_pb2.ChatEvent], Failed]:
    """The events of a stream that fails, and its failure."""
    events, status = await told(call)
    assert status is not None
    return events, status


def same(first: Failed, second: Failed) -> bool:
    return (first.what, first.text, first.metadata, first.retry) == (
        second.what,
        second.text,
        second.metadata,
        second.retry,
    )


async def recorded(
    suite: Served, person: Person, events: list[chat_pb2.ChatEvent], status: Failed
) -> chat_pb2.Generation:
    """The generation, once it was found that everybody who asks for it is told what its stream told."""
    generation_id = events[0].started.generation_id
    again, later = await broken(
        suite.chat.ResumeStream(
            chat_pb2.ResumeStreamRequest(generation_id=generation_id), metadata=person.metadata
        )
    )
    assert words(again) == words(events)
    assert again[0] == events[0]
    assert same(status, later)
    response = await suite.chat.GetGeneration(
        chat_pb2.GetGenerationRequest(generation_id=generation_id), metadata=person.metadata
    )
    made = response.generation
    assert (made.state, made.error_reason) == (chat_pb2.GENERATION_STATE_FAILED, status.reason)
    assert made.text == words(events)
    return made


@pytest.mark.parametrize("name", FAULTS)
async def test_the_caller_is_told_what_happened_now_and_later(
    suite: Served, model: Stage, ana: Person, name: str
) -> None:
    fault = FAULTS[name]
    model.play(fault.script)
    request = chat_pb2.StreamChatRequest(message="Tell me", model=fault.model, request_id=str(uuid.uuid4()))
    events, status = await broken(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert status.what == (fault.code, fault.reason)
    provider = "away" if fault.model == "away" else "stage"
    assert status.metadata == {"model": fault.model, "provider": provider, **fault.metadata}
    assert status.retry == fault.retry
    assert "sk-secret" not in status.text
    assert "127.0.0.1" not in status.text
    assert words(events) == fault.made
    await recorded(suite, ana, events, status)
    metered = await suite.metered(ana)
    assert [(one.status, one.error_reason) for one in metered] == [
        (usage_pb2.USAGE_STATUS_ERROR, fault.reason)
    ]
    assert bool(metered[0].quantities) is bool(fault.made)

    model.clear()
    if fault.made:
        # Something was made: the same call is told of it again.
        repeated, later = await broken(suite.chat.StreamChat(request, metadata=ana.metadata))
        assert repeated[0].started.generation_id == events[0].started.generation_id
        assert same(status, later)
    elif fault.model == "scripted":
        # Nothing was: the same call is free to succeed, now that the model has recovered.
        repeated = await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
        assert words(repeated) == "Bien, gracias."
        assert repeated[0].started.generation_id != events[0].started.generation_id


async def test_the_words_of_a_refusal_are_passed_on(suite: Served, model: Stage, ana: Person) -> None:
    model.play(FAULTS["400"].script)
    found = await failure(suite.chat.Chat(chat_pb2.ChatRequest(message="Tell me"), metadata=ana.metadata))
    assert "max_tokens is too large" in found.text


async def test_a_whole_answer_fails_as_its_stream_does(suite: Served, model: Stage, ana: Person) -> None:
    model.play(break_off)
    request = chat_pb2.ChatRequest(message="Tell me", request_id=str(uuid.uuid4()))
    found = await failure(suite.chat.Chat(request, metadata=ana.metadata))
    assert found.what == ("UNAVAILABLE", "PROVIDER_UNAVAILABLE")
    again = await failure(suite.chat.Chat(request, metadata=ana.metadata))
    assert same(found, again)
    assert len(model.exchanges) == 1
    assert found.request_id != again.request_id


async def test_an_answer_without_end_is_ended(suite: Served, model: Stage, ana: Person) -> None:
    model.play(never_end)
    request = chat_pb2.StreamChatRequest(message="Tell me")
    events, status = await broken(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert status.what == ("DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT")
    assert status.metadata == {"model": "scripted", "provider": "stage", "stage": "total"}
    assert words(events).startswith("one two x")
    await recorded(suite, ana, events, status)
    async with asyncio.timeout(1):
        await model.exchanges[0].gone.wait()


async def test_an_answer_that_outgrows_the_store_is_ended(suite: Served, model: Stage, ana: Person) -> None:
    model.play(babble)
    request = chat_pb2.StreamChatRequest(message="Tell me")
    events, status = await broken(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert status.what == ("RESOURCE_EXHAUSTED", "TOO_LONG")
    assert status.metadata == {"generation_id": events[0].started.generation_id}
    assert 15_000 < len(words(events)) < 1_500_000
    await recorded(suite, ana, events, status)


async def test_a_failure_of_one_answer_is_none_of_the_others(suite: Served, model: Stage) -> None:
    async def by_turns(exchange: Exchange) -> None:
        if "bad" in exchange.json["messages"][-1]["content"]:
            await broken_json(exchange)
        else:
            await exchange.says(text("fine"), stop())

    async def ask(message: str) -> str:
        try:
            request = chat_pb2.ChatRequest(message=message)
            return (await suite.chat.Chat(request)).generation.text
        except grpc.aio.AioRpcError as error:
            return failed(error).reason

    model.play(by_turns)
    answers = await asyncio.gather(*(ask("bad" if number % 2 else "good") for number in range(20)))
    assert answers == ["fine", "PROVIDER_PROTOCOL"] * 10


@pytest.mark.parametrize(
    ("name", "what", "metadata"),
    [
        ("nonesuch", ("NOT_FOUND", "MODEL_NOT_FOUND"), {"model": "nonesuch"}),
        ("😀" * 64, ("NOT_FOUND", "MODEL_NOT_FOUND"), {"model": "😀" * 64}),
        ("a\0b", ("NOT_FOUND", "MODEL_NOT_FOUND"), {"model": "a\0b"}),
        (
            "locked",
            ("FAILED_PRECONDITION", "MODEL_NOT_READY"),
            {"model": "locked", "detail": "set KEY_THAT_NOBODY_HAS"},
        ),
    ],
)
async def test_a_model_that_can_not_be_asked(
    suite: Served, model: Stage, ana: Person, name: str, what: tuple[str, str], metadata: dict[str, str]
) -> None:
    before = await suite.stored()
    for call in (
        suite.chat.StreamChat(chat_pb2.StreamChatRequest(message="Hi", model=name), metadata=ana.metadata),
        suite.chat.Chat(chat_pb2.ChatRequest(message="Hi", model=name), metadata=ana.metadata),
    ):
        found = await failure(call)
        assert (found.what, found.metadata) == (what, metadata)
    assert await suite.stored() == before


async def test_an_input_past_the_models_window_is_refused(suite: Served, model: Stage, ana: Person) -> None:
    request = chat_pb2.StreamChatRequest(message="word " * 200, model="narrow")
    found = await failure(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert found.what == ("INVALID_ARGUMENT", "CONTEXT_TOO_LONG")
    assert found.metadata == {"model": "narrow", "context_tokens": "64"}
    assert not model.exchanges


@pytest.mark.parametrize(
    ("more", "field_"),
    [
        ({"tools": [chat_pb2.Tool(name="weather")]}, "tools"),
        ({"parameters": chat_pb2.Parameters(json_schema="{}")}, "parameters.json_schema"),
    ],
)
async def test_what_a_model_can_not_do_is_refused(
    suite: Served, ana: Person, more: dict[str, Any], field_: str
) -> None:
    request = chat_pb2.StreamChatRequest(message="Hi", model="echo", **more)
    found = await failure(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert found.what == ("INVALID_ARGUMENT", "UNSUPPORTED_INPUT")
    assert (found.metadata, list(found.fields)) == ({"model": "echo"}, [field_])
