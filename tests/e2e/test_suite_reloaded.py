"""The operator changes the catalog of models and says SIGHUP."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from tests.e2e.suite_process import MINUTE, SERVING, SuiteProcess, environment, working_in
from tests.e2e.terminal import Terminal
from tests.peers.programs import eventually, free_port

pytestmark = pytest.mark.long

StartSuite = Callable[..., SuiteProcess]
PROVIDER = '[providers.own]\nbase_url = "http://127.0.0.1:9/v1"\n'
MODEL = '[[models]]\nname = "{}"\nprovider = "own"\n'


def models(suite: SuiteProcess) -> list[str]:
    with grpc.insecure_channel(suite.address, [("grpc.enable_http_proxy", 0)]) as channel:
        found = chat_pb2_grpc.ChatServiceStub(channel).ListModels(chat_pb2.ListModelsRequest(), timeout=10)
    return [model.name for model in found.models]


def told(suite: SuiteProcess) -> list[dict[str, object]]:
    """What the log tells of the catalog of Chat."""
    return [line for line in suite.log if "catalog" in str(line["event"]) and line.get("service") == "chat"]


def test_sighup_reads_the_models_again(tmp_path: Path, start_suite: StartSuite) -> None:
    path = tmp_path / "models.toml"
    path.write_text(PROVIDER + MODEL.format("one") + MODEL.format("two"))
    suite = start_suite(settings={"ANTIPHON_CHAT__MODELS_FILE": str(path)}).up()
    assert models(suite) == ["one", "two", "echo"]

    path.write_text(PROVIDER + MODEL.format("two") + 'display_name = "Two"\n' + MODEL.format("three"))
    suite.process.send_signal(signal.SIGHUP)
    eventually(lambda: models(suite) == ["two", "three", "echo"], "the new models")
    eventually(lambda: told(suite), "what the log tells")
    line = told(suite)[0]
    assert (line["added"], line["removed"], line["changed"]) == (["three"], ["one"], ["two"])

    path.write_text(PROVIDER + MODEL.format("four") + "context_tokens = -1\n")
    suite.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(told(suite)) == 2, "what the log tells")
    problem = (
        f"{path}:6: model 'four' is wrong in context_tokens, which has to be a whole number, 0 when unknown."
    )
    assert (told(suite)[1]["level"], told(suite)[1]["problems"]) == ("error", [problem])
    assert models(suite) == ["two", "three", "echo"]
    assert suite.stop() == 0


def test_a_service_with_nothing_to_reload_lives_through_sighup(start_suite: StartSuite) -> None:
    suite = start_suite(services=["auth"]).up()
    for _ in range(3):
        suite.process.send_signal(signal.SIGHUP)
        assert suite.health() == SERVING
    assert suite.stop() == 0


def test_a_suite_ends_with_its_terminal(tmp_path: Path) -> None:
    data = tmp_path / "data"
    arguments = ("serve", "--port", str(free_port()), "--data-dir", str(data))
    with Terminal(environment(tmp_path), *arguments) as terminal:
        terminal.wait_for("serving")
        terminal.hang_up()
        assert terminal.process.wait(MINUTE) == 0
        assert working_in(data) == []
