"""A suite without any setting, its contract and its failures, as grpcurl and a shell show them."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.grpcurl import Grpcurl
from tests.peers.suite import EMAIL, PASSWORD, Suite, running_suite

AUTH = "antiphon.auth.v1.AuthService"
CHAT = "antiphon.chat.v1.ChatService"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with running_suite(tmp_path_factory.mktemp("a fresh suite")) as running:
        yield running


@pytest.fixture(scope="module")
def anyone(grpcurl_program: Path, fresh: Suite) -> Grpcurl:
    return Grpcurl(grpcurl_program, fresh.address)


@pytest.fixture(scope="module")
def ana(anyone: Grpcurl) -> Grpcurl:
    """Registered and logged in by grpcurl itself."""
    user = anyone.call(f"{AUTH}/Register", {"email": EMAIL, "password": PASSWORD})["user"]
    assert (user["email"], user["role"]) == (EMAIL, "ROLE_USER")
    answer = anyone.call(f"{AUTH}/Login", {"email": EMAIL, "password": PASSWORD})
    return anyone.as_caller(answer["accessToken"])


def test_all_services_are_listed(anyone: Grpcurl) -> None:
    listed = anyone.print_of(anyone.address, "list").split()
    assert {AUTH, CHAT, "antiphon.auth.v1.ApiKeyService", "grpc.health.v1.Health"} <= set(listed)
    assert "rpc StreamChat" in anyone.print_of(anyone.address, "describe", CHAT)


def test_an_rpc_is_described_with_its_comment_and_its_policy(anyone: Grpcurl) -> None:
    described = anyone.print_of(anyone.address, "describe", f"{CHAT}.StreamChat")
    assert "// StreamChat answers a message, event by event: first `started`, then deltas" in described
    assert "// Errors: INVALID_ARGUMENT" in described
    assert "access: ACCESS_OPTIONAL" in described
    message = anyone.print_of(anyone.address, "describe", "antiphon.chat.v1.ChatEvent")
    assert "// first_seq is the first position that the event covers; a record begins with 1." in message
    rules = anyone.print_of(anyone.address, "describe", "antiphon.chat.v1.ResumeStreamRequest")
    assert "uuid: true" in rules


@pytest.mark.parametrize("service", ["", AUTH, CHAT])
def test_each_service_is_healthy(anyone: Grpcurl, service: str) -> None:
    assert anyone.call("grpc.health.v1.Health/Check", {"service": service}) == {"status": "SERVING"}


def test_bad_fields_are_named_in_the_output_of_grpcurl(anyone: Grpcurl) -> None:
    done = anyone.run("-d", '{"email": "nobody", "password": "x"}', anyone.address, f"{AUTH}/Register")
    assert done.returncode != 0
    assert "Code: InvalidArgument" in done.stderr
    assert '"@type": "type.googleapis.com/google.rpc.BadRequest"' in done.stderr
    assert '"field": "email"' in done.stderr
    assert '"description": "must be a valid email address"' in done.stderr


def test_the_details_of_a_failure_are_decoded(anyone: Grpcurl, ana: Grpcurl) -> None:
    failure = anyone.refused(f"{CHAT}/StreamChat", {"message": "", "requestId": "7"})
    fields = {each["field"] for each in failure.details["BadRequest"]["fieldViolations"]}
    assert (failure.code, failure.reason, fields) == (
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        {"message", "request_id"},
    )

    failure = anyone.refused(f"{AUTH}/GetProfile", {})
    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "CREDENTIAL_MISSING")

    failure = anyone.as_caller("rubbish").refused(f"{CHAT}/StreamChat", {"message": "hola"})
    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")

    session_id = str(uuid.uuid4())
    failure = ana.refused(f"{CHAT}/GetSession", {"sessionId": session_id})
    assert (failure.code, failure.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert failure.details["ResourceInfo"]["resourceName"] == session_id

    failure = ana.refused(f"{CHAT}/StreamChat", {"message": "hola", "model": "gpt-4o"})
    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "MODEL_NOT_READY")
    assert "OPENAI_API_KEY" in failure.metadata["detail"]

    failure = ana.refused(f"{CHAT}/SearchMessages", {})
    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")


def test_words_are_shown_while_later_ones_are_still_being_made(ana: Grpcurl) -> None:
    with ana.stream(f"{CHAT}/StreamChat", {"message": "palabra " * 60}) as stream:
        events = iter(stream)
        started = next(events)["event"]["started"]
        assert "textDelta" in next(events)["event"]
        asked = {"generationId": started["generationId"]}
        midway = ana.call(f"{CHAT}/GetGeneration", asked)["generation"]
        assert (midway["state"], midway["model"]) == ("GENERATION_STATE_RUNNING", "echo")
        rest = list(events)
    assert stream.failure is None
    assert len(rest) > 10
    assert int(rest[-1]["event"]["seq"]) > int(midway["lastSeq"])
    text = "".join(each["event"].get("textDelta", {}).get("text", "") for each in stream.messages)
    assert text.count("palabra") == 60
    assert ana.call(f"{CHAT}/GetGeneration", asked)["generation"]["text"] == text


def test_the_lines_of_the_first_start_can_be_pasted(
    fresh: Suite, grpcurl_program: Path, tmp_path: Path
) -> None:
    lines = fresh.announced.splitlines()
    (with_grpcurl,) = (line for line in lines if line.startswith("grpcurl "))
    (with_command,) = (line for line in lines if " login " in line and " chat " in line)
    password = next(line.split()[1] for line in lines if line.startswith("  password "))

    def paste(line: str) -> str:
        environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
        environment["PATH"] = f"{grpcurl_program.parent}{os.pathsep}{environment['PATH']}"
        for name in ("ANTIPHON_SERVER", "ANTIPHON_TOKEN"):
            environment.pop(name, None)
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    answer = json.loads(paste(with_grpcurl))
    assert answer["user"]["role"] == "ROLE_ADMIN"
    said = paste(with_command)
    assert said.startswith(f"logged in as {answer['user']['email']}\n")
    assert "Hello" in said
    assert f"printf '%s\\n' {password} | " in with_command
