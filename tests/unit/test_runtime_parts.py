"""Parts of the runtime on their own: policies, order, log lines, addresses, statuses."""

# ruff: noqa: N802 - RPC methods carry the contract's names.

from __future__ import annotations

import inspect
import io
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.errors.v1 import error_reason_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.kernel import errors
from services.kernel.errors import InvalidArgument, ServiceError, Violation
from services.kernel.policy import Access, Policy
from services.kernel.request import Request, enter
from services.kernel.startup import StartupError
from services.runtime import interceptors, listening, logs
from services.runtime.interceptors.request_id import acceptable, address_of
from services.runtime.methods import methods_of
from services.runtime.mounted import Mounted
from services.runtime.policy import policies_of, policy_of
from services.runtime.status import details_of

AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]


def test_the_interceptors_have_the_designs_order() -> None:
    assert [kind.__name__ for kind in interceptors.ORDER] == [
        "RequestId",
        "AccessLog",
        "CallMetrics",
        "Errors",
        "Metering",
        "Admission",
        "Authentication",
        "Limits",
        "Decoding",
        "AccountLimits",
        "Validation",
    ]


def test_each_interceptor_is_needed_once() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        interceptors.in_order([])


def test_a_policy_is_what_the_contract_says() -> None:
    policy = policy_of(AUTH.methods_by_name["GetProfile"])
    assert policy == Policy(Access.USER, scope="profile.read", limit="default", idempotent=True)


def test_an_rpc_without_a_policy_stops_the_start() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="careless.proto", package="careless", syntax="proto3")
    file.message_type.add(name="Empty")
    service = file.service.add(name="CarelessService")
    service.method.add(name="Open", input_type=".careless.Empty", output_type=".careless.Empty")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    with pytest.raises(StartupError, match=r"/careless\.CarelessService/Open"):
        policies_of([pool.FindServiceByName("careless.CarelessService")])


def test_what_a_servicer_does_not_build_has_no_behaviour() -> None:
    class Half(auth_pb2_grpc.AuthServiceServicer):
        async def Login(self, request: Any, context: Any) -> Any:
            return auth_pb2.LoginResponse()

    methods = methods_of([Mounted("auth", {AUTH.full_name: Half()})])
    assert len(methods) == len(AUTH.methods)
    assert {method.path.rpartition("/")[2] for method in methods if method.behavior} == {"Login"}


def test_an_ordinary_function_is_no_servicer() -> None:
    class Blocking(auth_pb2_grpc.AuthServiceServicer):
        def Login(self, request: Any, context: Any) -> Any:
            return auth_pb2.LoginResponse()

    with pytest.raises(StartupError, match="ordinary function"):
        methods_of([Mounted("auth", {AUTH.full_name: Blocking()})])


def test_a_service_that_the_contract_does_not_have_is_told() -> None:
    with pytest.raises(StartupError, match=r"antiphon\.nothing"):
        methods_of([Mounted("nothing", {"antiphon.nothing.v1.NothingService": object()})])


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:4711", "127.0.0.1"),
        ("ipv6:[::1]:4711", "::1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::1%eth0"),
        ("unix:", "unix"),
    ],
)
def test_a_peers_address_is_read(peer: str, address: str) -> None:
    assert address_of(peer) == address


@given(st.text(max_size=200))
def test_only_short_printable_ids_are_taken(text: str) -> None:
    if acceptable(text):
        assert 1 <= len(text) <= 128
        assert all(" " <= character <= "~" for character in text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("127.8.8.8", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_loopback_is_known(host: str, loopback: bool) -> None:
    assert listening.is_loopback(host) is loopback


def test_every_reason_of_the_kernel_is_in_the_contract() -> None:
    known = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118 - an enum wrapper is no dictionary.
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ServiceError)
    ]
    general = {"INTERNAL"}
    assert {kind.reason for kind in kinds} - general <= known


@given(
    st.text(max_size=3000),
    st.lists(st.tuples(st.text(max_size=400), st.text(max_size=2000)), max_size=40),
    st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=2000), max_size=4),
)
def test_whatever_is_told_fits_into_trailing_metadata(
    text: str, violations: list[tuple[str, str]], metadata: dict[str, str]
) -> None:
    error = InvalidArgument(text, violations=[Violation(*each) for each in violations], metadata=metadata)
    data = details_of(error)
    assert len(data) < 5000
    assert status_pb2.Status.FromString(data).code == 3


@pytest.fixture
def log() -> Iterator[tuple[logs.Log, Any]]:
    with tempfile.TemporaryFile() as file:
        yield (
            logs.Log("INFO", pretty=False, stream=file.fileno()),
            lambda: os.pread(file.fileno(), 1 << 20, 0).decode(),
        )


def test_a_line_is_json_with_time_level_and_fields(log: tuple[logs.Log, Any]) -> None:
    written, read = log
    written.line("info", "started", {"port": 50051, "path": os.curdir, "odd": {1, 2} and object})
    line = json.loads(read())
    assert (line["level"], line["event"], line["port"]) == ("info", "started", 50051)
    assert line["time"].endswith("Z")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("authorization: Bearer abc.def-123", "abc.def"),
        ("key ak_0198_SeCrEt-x used", "SeCrEt"),
        ("postgresql+psycopg://ana:hunter2@db/x", "hunter2"),
        ("token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "eyJzdWIi"),
        ("sk-abcdefghijklmnop", "abcdefgh"),
        ("ghp_abcdefghijklmnop", "abcdefgh"),
    ],
)
@pytest.mark.parametrize("pretty", [True, False])
def test_what_looks_like_a_credential_is_struck_out(text: str, secret: str, pretty: bool) -> None:
    with tempfile.TemporaryFile() as file:
        logs.Log("INFO", pretty=pretty, stream=file.fileno()).line("error", text, {"why": text})
        found = os.pread(file.fileno(), 1 << 20, 0).decode()
    assert secret not in found
    assert "***" in found


def test_pretty_lines_are_one_line_each_whatever_they_say(log: tuple[logs.Log, Any]) -> None:
    with tempfile.TemporaryFile() as file:
        logs.Log("INFO", pretty=True, stream=file.fileno()).line("info", "a\nb\x1b[2J", {"x": "1\n2"})
        found = os.pread(file.fileno(), 1 << 20, 0).decode()
    assert found.count("\n") == 1
    assert "\x1b" not in found


@pytest.fixture
def _loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logging.getLogger(name).level
        for name in ("grpc", "asyncio", "psycopg", "psycopg.pool", "alembic", "aiohttp", "sqlalchemy")
    }
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    enter(None)


@pytest.mark.usefixtures("_loggers_as_before")
def test_both_kinds_of_loggers_write_the_same_lines(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    logs.set_up("INFO", "json")
    enter(Request("r5", "/a/B"))
    logging.getLogger("services.chat").info("one %s", "argument", extra={"size": 3})
    structlog.get_logger("services.chat").info("two", size=4)
    try:
        raise ValueError("because")
    except ValueError:
        logging.getLogger("services.chat").exception("three")
        structlog.get_logger("services.chat").exception("four")
    structlog.get_logger().debug("too fine")
    logging.getLogger("psycopg").info("too fine")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("one argument", "info"),
        ("two", "info"),
        ("three", "error"),
        ("four", "error"),
    ]
    assert {line["request_id"] for line in lines} == {"r5"}
    assert [line.get("size") for line in lines] == [3, 4, None, None]
    assert all("ValueError: because" in line["exception"] for line in lines[2:])
