"""`antiphon health` against servers that say different things of themselves."""

import contextlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from typer.testing import CliRunner, Result

from services.cli.health import _NAMES
from services.cli.program import program
from services.runtime.contract import contract
from tests.fakes.certificates import Authority

Antiphon = Callable[..., Result]
CHAT = "antiphon.chat.v1.ChatService"
_STATUS = health_pb2.HealthCheckResponse


@contextlib.contextmanager
def ready_server(credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """The address of a server that is ready, except that Chat is not."""
    servicer = health.HealthServicer()
    servicer.set("", _STATUS.SERVING)
    servicer.set("live", _STATUS.SERVING)
    servicer.set(CHAT, _STATUS.NOT_SERVING)
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    place = "127.0.0.1:0"
    port = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def address() -> Iterator[str]:
    with ready_server() as there:
        yield there


def antiphon(*arguments: str) -> Result:
    return CliRunner().invoke(program(list(arguments)), list(arguments), prog_name="antiphon")


@pytest.mark.parametrize(
    ("words", "told"), [((), "the server is ready\n"), (("live",), "live is ready\n")], ids=("all", "live")
)
def test_what_is_ready_is_told(address: str, words: tuple[str, ...], told: str) -> None:
    done = antiphon("health", *words, "--server", address)
    assert (done.exit_code, done.stdout) == (0, told)


def test_programs_are_told_in_json(address: str) -> None:
    done = antiphon("health", "--server", address, "--json")
    assert json.loads(done.stdout) == {"service": "", "status": "SERVING"}
    done = antiphon("health", "chat", "--server", address, "--json")
    assert done.exit_code == 1
    error = json.loads(done.stderr)["error"]
    assert (error["reason"], error["code"]) == ("NOT_SERVING", "UNAVAILABLE")


@pytest.mark.parametrize("name", ["chat", CHAT])
def test_a_service_that_is_not_ready_fails(address: str, name: str) -> None:
    done = antiphon("health", name, "--server", address)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "is not ready" in done.stderr


def test_a_service_that_is_served_elsewhere_fails(address: str) -> None:
    done = antiphon("health", "speech", "--server", address)
    assert done.exit_code == 1
    assert "does not serve speech" in done.stderr


def test_nobody_there_fails_soon() -> None:
    done = antiphon("health", "--server", "127.0.0.1:1", "--timeout", "2")
    assert done.exit_code == 1
    assert "no server answers at 127.0.0.1:1" in done.stderr


def test_certificates_of_a_private_authority_are_believed_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    issued = authority.issue()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    with ready_server(grpc.ssl_server_credentials([(issued.key, issued.certificate)])) as there:
        done = antiphon("health", "--server", f"https://{there}")
        assert done.exit_code == 1
        assert "ANTIPHON_CA" in done.stderr
        monkeypatch.setenv("ANTIPHON_CA", str(tmp_path / "ca.pem"))
        assert antiphon("health", "--server", f"https://{there}").exit_code == 0


def test_what_is_no_address_is_a_misuse() -> None:
    assert antiphon("health", "--server", "nowhere").exit_code == 2


def test_short_names_are_those_of_the_contract() -> None:
    services = {f"{file.package}.{each.name}" for file in contract().file for each in file.service}
    assert set(_NAMES.values()) <= services
