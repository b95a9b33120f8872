"""Models that fail before they answer: they are asked again, others take over, and what fails too often is left alone."""

from __future__ import annotations

import asyncio
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.chat_stage import CLOSED, Stage
from tests.fakes.chat_upstream import Exchange, Script, event, stop, text, used
from tests.fakes.served_suite import (
    Failed,
    Person,
    Served,
    assert_dense,
    events_of,
    failure,
    kinds,
    told,
    until,
    words,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

_MODELS = (
    "plain",
    "first",
    "second",
    "limited",
    "failing",
    "late",
    "patient",
    "tried",
    "gone",
    "steady",
    "silent",
)


def _catalog(address: str) -> str:
    """Every model has an endpoint of its own, so that a test has one to itself."""
    parts = [f'[providers.away]\nbase_url = "{CLOSED}"\n']
    parts += [f'[providers.{name}-place]\nbase_url = "{address}/{name}"\n' for name in _MODELS]
    fallbacks = {"first": ["second"], "away": ["second"], "limited": ["second"], "failing": ["second"]}
    fallbacks |= {"gone": ["away", "second"]}
    for name in (*_MODELS, "away"):
        provider = name if name == "away" else f"{name}-place"
        parts.append(f'[[models]]\nname = "{name}"\nprovider = "{provider}"\nupstream = "{name}-1"\n')
        if name in fallbacks:
            parts.append(f"fallbacks = {fallbacks[name]!r}\n")
    # Cookies are kept for names only, not for addresses.
    named = address.replace("127.0.0.1", "localhost")
    parts.append(
        f'[providers.baker]\nbase_url = "{named}/baker"\n[[models]]\nname = "baker"\nprovider = "baker"\n'
    )
    return "\n".join(parts)


@pytest.fixture(scope="module")
def suite_environ(module_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path: Path = tmp_path_factory.mktemp("catalog") / "models.toml"
    path.write_text(_catalog(module_stage.upstream.base_url))
    return {
        "ANTIPHON_CHAT__MODELS_FILE": str(path),
        "ANTIPHON_CHAT__FIRST_TOKEN_TIMEOUT": "5",
        "ANTIPHON_METRICS__ADDRESS": "127.0.0.1:0",
        "ANTIPHON_CHAT__BREAKER_FAILURES": "3",
        "ANTIPHON_CHAT__BREAKER_COOLDOWN": "0.6",
    }


def refusing(status: int, **headers: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, "application/json", b"{}", **headers)

    return script


async def fine(exchange: Exchange) -> None:
    await exchange.says(text("Bien"), text(", gracias."), stop(), used(7, 4))


async def hang(exchange: Exchange) -> None:
    await exchange.gone.wait()


def by_model(**scripts: Script) -> Script:
    """Each model as its script says, the others in the usual way."""

    async def script(exchange: Exchange) -> None:
        await scripts.get(exchange.json["model"].removesuffix("-1"), fine)(exchange)

    return script


def in_turn(*scripts: Script) -> Script:
    """One script for each call, the last for all that follow."""
    left = list(scripts)

    async def script(exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return script


def asked(model: Stage) -> Counter[str]:
    """How often each model was asked."""
    return Counter(exchange.json["model"].removesuffix("-1") for exchange in model.exchanges)


@pytest.fixture
def say(suite: Served, ana: Person) -> Callable[..., Any]:
    """A stream of a person who asks a model."""

    def call(name: str, timeout: float | None = None, **fields: Any) -> Any:
        request = chat_pb2.StreamChatRequest(message="Tell me", model=name, **fields)
        return suite.chat.StreamChat(request, metadata=ana.metadata, timeout=timeout)

    return call


async def test_a_model_that_fails_twice_and_then_answers(
    suite: Served, model: Stage, ana: Person, say: Callable[..., Any]
) -> None:
    model.play(in_turn(refusing(500), refusing(503), fine))
    events = await events_of(say("tried"))
    assert kinds(events) == ["started", *["text_delta"] * (len(events) - 2), "finished"]
    assert words(events) == "Bien, gracias."
    assert asked(model) == {"tried": 3}
    (metered,) = await suite.metered(ana)
    assert metered.status == usage_pb2.USAGE_STATUS_SUCCESS


async def test_a_fallback_is_on_record(
    suite: Served, model: Stage, ana: Person, say: Callable[..., Any]
) -> None:
    model.play(by_model(first=refusing(401)))
    events = await events_of(say("first"))
    assert_dense(events)
    assert kinds(events)[:2] == ["started", "fallback"]
    fallback = events[1].fallback
    assert (events[0].started.model, fallback.model, fallback.provider) == ("first", "second", "second-place")
    assert (fallback.failed_model, fallback.error_reason) == ("first", "PROVIDER_CREDENTIAL")
    assert words(events) == "Bien, gracias."
    id_ = events[0].started.generation_id

    for after in (0, events[0].seq, events[1].seq):
        request = chat_pb2.ResumeStreamRequest(generation_id=id_, after_seq=after)
        rest = await events_of(suite.chat.ResumeStream(request, metadata=ana.metadata))
        assert_dense(rest, after)
        assert words(rest) == "Bien, gracias."
        assert ("fallback" in kinds(rest)) is (after < events[1].seq)

    response = await suite.chat.GetGeneration(
        chat_pb2.GetGenerationRequest(generation_id=id_), metadata=ana.metadata
    )
    made = response.generation
    assert (made.requested_model, made.model, made.provider) == ("first", "second", "second-place")
    (metered,) = await suite.metered(ana)
    assert (metered.model, metered.provider) == ("second", "second-place")
    page = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=events[0].started.session_id), metadata=ana.metadata
    )
    assert {message.model for message in page.messages if message.model} == {"second"}


async def test_a_whole_answer_names_the_model_that_made_it(suite: Served, model: Stage, ana: Person) -> None:
    response = await suite.chat.Chat(
        chat_pb2.ChatRequest(message="Tell me", model="away"), metadata=ana.metadata
    )
    made = response.generation
    assert (made.text, made.requested_model, made.model) == ("Bien, gracias.", "away", "second")


async def test_a_failure_of_all_names_them_all(model: Stage, say: Callable[..., Any]) -> None:
    model.play(by_model(gone=refusing(404), second=refusing(403)))
    events, status = await told(say("gone"))
    assert status is not None
    assert status.what == ("FAILED_PRECONDITION", "PROVIDER_CREDENTIAL")
    assert status.metadata["attempts"] == (
        "gone: MODEL_NOT_READY; away: PROVIDER_UNAVAILABLE; second: PROVIDER_CREDENTIAL"
    )
    assert (status.metadata["model"], status.metadata["requested_model"]) == ("second", "gone")
    # An endpoint that is left alone by now was not asked, so nothing took over from it.
    assert kinds(events)[-1] == "fallback"


async def test_an_answer_that_has_begun_stays_as_it_is(model: Stage, say: Callable[..., Any]) -> None:
    async def breaks_off(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event(text("half ")))
        await exchange.end()

    model.play(by_model(first=breaks_off))
    events, status = await told(say("first"))
    assert status is not None
    assert (words(events), status.reason) == ("half ", "PROVIDER_UNAVAILABLE")
    assert asked(model) == {"first": 1}


@pytest.mark.parametrize(("status", "code"), [(429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE")])
async def test_who_asks_for_a_long_pause_gets_it(
    suite: Served, model: Stage, ana: Person, status: int, code: str
) -> None:
    model.play(refusing(status, Retry_After="7"))
    name = {429: "late", 503: "patient"}[status]
    request = chat_pb2.ChatRequest(message="Tell me", model=name, request_id=str(uuid.uuid4()))
    first = await failure(suite.chat.Chat(request, metadata=ana.metadata))
    assert (first.code.name, first.retry) == (code, 7.0)
    model.play(fine)
    again = await failure(suite.chat.Chat(request, metadata=ana.metadata))
    assert again.what == first.what
    assert again.retry is not None
    assert 5 < again.retry <= 7
    assert asked(model) == {name: 1}


async def test_a_long_pause_is_not_waited_for_when_another_model_can_answer(
    model: Stage, say: Callable[..., Any]
) -> None:
    model.play(by_model(limited=refusing(429, Retry_After="3")))
    began = time.monotonic()
    events = await events_of(say("limited"))
    assert time.monotonic() - began < 2
    assert events[1].fallback.error_reason == "PROVIDER_RATE_LIMITED"
    assert asked(model) == {"limited": 1, "second": 1}


async def test_an_endpoint_that_fails_too_often_is_left_alone_and_tried_again(
    suite: Served, model: Stage, say: Callable[..., Any]
) -> None:
    # The endpoint is left alone from some moment of this call on.
    opened = time.monotonic()
    model.play(by_model(failing=refusing(500)))
    assert words(await events_of(say("failing"))) == "Bien, gracias."
    assert asked(model)["failing"] == 3

    async def without_fallback() -> bool:
        return "fallback" not in kinds(await events_of(say("failing")))

    model.play(fine)
    await until(without_fallback)
    assert time.monotonic() - opened > 0.5
    assert asked(model)["failing"] == 4

    page = await asyncio.to_thread(_page, suite.suite.metrics_port)
    for line in (
        'antiphon_chat_attempts_total{model="failing",outcome="PROVIDER_UNAVAILABLE"} 3.0',
        'antiphon_chat_attempts_total{model="failing",outcome="answered"} 1.0',
        'antiphon_chat_fallbacks_total{failed_model="failing",model="second",reason="PROVIDER_UNAVAILABLE"}',
        'antiphon_chat_generations_total{model="failing",reason="stop",state="completed"} 1.0',
        'antiphon_chat_first_token_seconds_count{model="failing"} 1.0',
        "antiphon_chat_generations_running ",
        f'antiphon_chat_breaker_state{{endpoint="{model.upstream.base_url}/failing"}} 0.0',
    ):
        assert line in page


def _page(port: int | None) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        found: bytes = response.read()
    return found.decode()


# -- the caller's deadline


STOP = {"on_disconnect": chat_pb2.ON_DISCONNECT_STOP}


async def test_a_pause_past_the_callers_deadline_is_not_begun(model: Stage, say: Callable[..., Any]) -> None:
    model.play(refusing(503, Retry_After="2"))
    _, status = await told(say("plain", timeout=1.5, **STOP))
    assert status is not None
    assert (status.what, status.retry) == (("UNAVAILABLE", "PROVIDER_UNAVAILABLE"), 2.0)
    assert asked(model) == {"plain": 1}


async def test_who_waits_for_its_answer_alone_is_told_what_took_so_long(
    model: Stage, say: Callable[..., Any]
) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event(text("half")))
        await exchange.gone.wait()

    async def late(name: str, stage: str, said: str) -> None:
        events, status = await told(say(name, timeout=2, **STOP))
        assert status is not None
        assert status.what == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert status.metadata == {"model": name, "provider": f"{name}-place", "stage": stage}
        assert words(events) == said

    model.play(by_model(steady=half, silent=hang))
    await asyncio.gather(late("silent", "first_token", ""), late("steady", "between_tokens", "half"))
    for exchange in model.exchanges:
        async with asyncio.timeout(2):
            await exchange.gone.wait()


async def test_who_has_its_answer_made_to_the_end_is_told_where_to_find_it(
    suite: Served, model: Stage, ana: Person, say: Callable[..., Any]
) -> None:
    go_on = asyncio.Event()

    async def waits(exchange: Exchange) -> None:
        await go_on.wait()
        await fine(exchange)

    def late(status: Failed | None) -> str:
        assert status is not None
        assert status.what == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert status.metadata["stage"] == "first_token"
        return status.metadata["generation_id"]

    async def resumed(id_: str, timeout: float) -> tuple[list[chat_pb2.ChatEvent], Failed | None]:
        request = chat_pb2.ResumeStreamRequest(generation_id=id_)
        return await told(suite.chat.ResumeStream(request, metadata=ana.metadata, timeout=timeout))

    model.play(waits)
    request = chat_pb2.ChatRequest(message="Tell me", model="steady")
    (events, streamed), whole = await asyncio.gather(
        told(say("steady", timeout=2)), failure(suite.chat.Chat(request, metadata=ana.metadata, timeout=2))
    )
    assert late(streamed) == events[0].started.generation_id
    ids = [late(streamed), late(whole)]
    _, again = await resumed(ids[0], 1)
    assert late(again) == ids[0]
    go_on.set()
    for id_ in ids:
        events, status = await resumed(id_, 10)
        assert (words(events), status) == ("Bien, gracias.", None)


async def test_cookies_of_a_provider_are_neither_kept_nor_sent(model: Stage, say: Callable[..., Any]) -> None:
    async def baking(exchange: Exchange) -> None:
        await exchange.head(Set_Cookie=f"node{len(model.exchanges)}=one; Path=/")
        await exchange.chunk(event(text("fine")) + event(stop()))
        await exchange.end()

    model.play(baking)
    for _ in range(2):
        events, status = await told(say("baker"))
        assert (words(events), status) == ("fine", None)
    assert [exchange.headers.get("cookie") for exchange in model.exchanges] == [None, None]
