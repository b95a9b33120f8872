"""What a real llama.cpp server can do to a call: refuse it, die in the middle of it, not be there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.chat_calls import CHAT, ENDLESS, GREEDY, QUESTIONS, generation, messages, stream, text_of
from tests.peers.grpcurl import Failure, Grpcurl, Json
from tests.peers.llama_server import LlamaServer, llama_server
from tests.peers.programs import eventually, free_port
from tests.peers.suite import Suite, running_suite

_NARROW_TOKENS = 256
_CATALOG = """
[providers.steady]
base_url = "{steady}"

[providers.shaky]
base_url = "http://127.0.0.1:{port}/v1"

[[models]]
name = "narrow"
provider = "steady"
context_tokens = {narrow}

[[models]]
name = "unmeasured"
provider = "steady"

[[models]]
name = "shaky"
provider = "shaky"
"""


@pytest.fixture(scope="module")
def shaky_port() -> int:
    """Where the model server is that comes and goes."""
    return free_port()


@pytest.fixture(scope="module")
def catalogued(
    llama: LlamaServer, shaky_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Suite]:
    """A suite with a catalog of models of its operator's."""
    folder = tmp_path_factory.mktemp("catalogued")
    catalog = folder / "models.toml"
    catalog.write_text(_CATALOG.format(steady=llama.base_url, port=shaky_port, narrow=_NARROW_TOKENS))
    # The model server is away and back within seconds, and is not to be left alone for longer.
    environ = {"ANTIPHON_CHAT__MODELS_FILE": str(catalog), "ANTIPHON_CHAT__BREAKER_COOLDOWN": "0.2"}
    with running_suite(folder, **environ) as running:
        yield running


@pytest.fixture(scope="module")
def ana(grpcurl_program: Path, catalogued: Suite) -> Grpcurl:
    return Grpcurl(grpcurl_program, catalogued.address, catalogued.enter())


def broken_off(grpcurl: Grpcurl, request: Json) -> tuple[list[Json], Failure]:
    """What a call that fails has sent before, and the failure."""
    with grpcurl.stream(f"{CHAT}/StreamChat", request) as call:
        events = [message["event"] for message in call]
    assert call.failure is not None
    return events, call.failure


def test_an_input_longer_than_the_context_window(ana: Grpcurl, llama: LlamaServer) -> None:
    asked = llama.calls()
    failure = ana.refused(f"{CHAT}/StreamChat", {"message": "orden " * 2000, "model": "narrow"})
    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "CONTEXT_TOO_LONG")
    assert failure.metadata == {"model": "narrow", "context_tokens": str(_NARROW_TOKENS)}
    assert llama.calls() == asked


def test_an_input_that_only_the_provider_knows_to_be_too_long(ana: Grpcurl, llama: LlamaServer) -> None:
    """llama.cpp answers such a call with a stream in which there is nothing, then closes the connection."""
    crashes = llama.crashes()
    events, failure = broken_off(ana, {"message": "orden " * 20000, "model": "unmeasured"})
    assert [kind for event in events for kind in event if kind == "textDelta"] == []
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_PROTOCOL")
    assert failure.metadata == {"model": "unmeasured", "provider": "steady"}
    eventually(lambda: llama.crashes() > crashes, "the end of the connection", seconds=10)
    assert text_of(stream(ana, {"message": QUESTIONS[0], "model": "unmeasured", "parameters": GREEDY}))


def test_old_turns_make_room_in_a_small_window(ana: Grpcurl, llama: LlamaServer) -> None:
    first = stream(ana, {"message": "orden " * 100, "model": "narrow", "parameters": GREEDY})
    session_id = first[0]["started"]["sessionId"]
    second = stream(
        ana, {"message": QUESTIONS[0], "sessionId": session_id, "model": "narrow", "parameters": GREEDY}
    )
    assert text_of(second) == llama.text(QUESTIONS[0], max_tokens=GREEDY["maxOutputTokens"])
    assert len(messages(ana, session_id)) == 4


def test_a_model_server_that_is_killed_in_the_middle_of_an_answer(
    ana: Grpcurl, llama: LlamaServer, llama_python: Path, shaky_port: int, tmp_path: Path
) -> None:
    request = {"message": QUESTIONS[0], "model": "shaky", "parameters": ENDLESS}
    with (
        llama_server(llama_python, tmp_path, shaky_port) as shaky,
        ana.stream(f"{CHAT}/StreamChat", request) as call,
    ):
        incoming = iter(call)
        started = next(incoming)["event"]["started"]
        for _ in range(20):
            next(incoming)
        shaky.program.kill()
        for _ in incoming:
            pass
    events = [message["event"] for message in call.messages]
    failure = call.failure
    assert failure is not None
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_UNAVAILABLE")
    assert failure.metadata == {"model": "shaky", "provider": "shaky"}
    assert "finished" not in events[-1]

    # What arrived is on record, is what the model said, and resumes; the record ends with the same failure.
    kept = generation(ana, started["generationId"])
    assert (kept["state"], kept["errorReason"]) == ("GENERATION_STATE_FAILED", "PROVIDER_UNAVAILABLE")
    assert kept["text"] == text_of(events) != ""
    whole = llama.text(QUESTIONS[0], max_tokens=200)
    shorter = min(len(whole), len(kept["text"]))
    assert kept["text"][:shorter] == whole[:shorter]
    asked = {"generationId": started["generationId"], "afterSeq": events[5]["seq"]}
    with ana.stream(f"{CHAT}/ResumeStream", asked) as resumed:
        rest = [message["event"] for message in resumed]
    assert text_of(events[:6]) + text_of(rest) == kept["text"]
    assert resumed.failure is not None
    assert (resumed.failure.code, resumed.failure.reason) == (failure.code, failure.reason)


def test_a_model_server_that_comes_and_goes(
    ana: Grpcurl, catalogued: Suite, llama_python: Path, shaky_port: int, tmp_path: Path
) -> None:
    request = {"message": QUESTIONS[1], "model": "shaky", "parameters": GREEDY}
    events, failure = broken_off(ana, request)
    assert text_of(events) == ""
    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_UNAVAILABLE")
    assert failure.details["RetryInfo"]["retryDelay"]
    done = catalogued.command("chat", "--model", "shaky", QUESTIONS[1])
    assert (done.returncode, done.stdout) == (1, "")
    assert "can't be reached" in done.stderr

    with llama_server(llama_python, tmp_path, shaky_port) as shaky:
        assert text_of(stream(ana, request)) == shaky.text(QUESTIONS[1], max_tokens=GREEDY["maxOutputTokens"])
