"""The suite as it is composed: its start on a real database, its stop, its services apart, and what the doctor says."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.bootstrap.diagnosis import diagnose
from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.running import Administrator, run
from services.bootstrap.suite import Suite, serving
from services.cli.serve import announce
from services.kernel.startup import StartupError
from services.runtime.logs import Log
from services.settings import Settings

pytestmark = pytest.mark.long

SECRET = "a secret of the tests that is long enough"


@pytest.fixture
def log() -> Iterator[Log]:
    with tempfile.TemporaryFile() as file:
        yield Log("WARNING", pretty=False, stream=file.fileno())


def settings_for(url: str, folder: Path, **more: str) -> Settings:
    environ = {
        "DATABASE_URL": url,
        "ANTIPHON_SECRET_KEY": SECRET,
        "ANTIPHON_SERVER__PORT": "0",
        "ANTIPHON_SERVER__GRACE": "0s",
        "ANTIPHON_METRICS__ADDRESS": "off",
        "ANTIPHON_CHAT__ECHO_INTERVAL_MS": "1",
        "ANTIPHON_DATABASE__START_TIMEOUT": "1s",
        **more,
    }
    return Settings.load(environ, folder)


NO_ENVIRON: Mapping[str, str] = {}


async def health_of(address: str, service: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def chat(address: str, **metadata: str) -> list[chat_pb2.ChatEvent]:
    async with grpc.aio.insecure_channel(address) as channel:
        call = chat_pb2_grpc.ChatServiceStub(channel).StreamChat(
            chat_pb2.StreamChatRequest(message="Hello"), metadata=tuple(metadata.items())
        )
        return [response.event async for response in call]


async def log_in(address: str, administrator: Administrator) -> str:
    async with grpc.aio.insecure_channel(address) as channel:
        response = await auth_pb2_grpc.AuthServiceStub(channel).Login(
            auth_pb2.LoginRequest(email=administrator.email, password=administrator.password)
        )
        return response.access_token


async def test_the_suite_serves_both_services_on_one_port(
    migrated_url: str, tmp_path: Path, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(settings_for(migrated_url, tmp_path), [], log, NO_ENVIRON) as suite:
        address = suite.server.address
        for service in ("", "live", "antiphon.auth.v1.AuthService", "antiphon.chat.v1.ChatService"):
            assert await health_of(address, service) == health_pb2.HealthCheckResponse.SERVING
        events = await chat(address)
        assert events[0].HasField("started")
        assert events[-1].HasField("finished")
        assert suite.health.broken == {}
        announce(suite, None)
        assert f"\n  objects  the folder {suite.settings.data_dir / 'blobs'}\n" in capsys.readouterr().out
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", suite.server.port)


async def test_the_first_start_makes_an_administrator_who_can_log_in_and_later_ones_make_none(
    migrated_url: str, tmp_path: Path, log: Log
) -> None:
    settings = settings_for(migrated_url, tmp_path, ANTIPHON_ADMIN_EMAIL="ana@example.com")
    async with serving(settings, [], log, NO_ENVIRON) as suite:
        async with suite.first_administrator() as made:
            assert made is not None
            assert made.email == "ana@example.com"
            token = await log_in(suite.server.address, Administrator(made.email, made.password))
        events = await chat(suite.server.address, authorization=f"Bearer {token}")
        assert events[0].started.session_id
    async with (
        serving(settings, [], log, NO_ENVIRON) as suite,
        suite.first_administrator() as made_again,
    ):
        assert made_again is None
        # The keys are in the database, so the token outlives the process that signed it.
        assert await chat(suite.server.address, authorization=f"Bearer {token}")


async def test_chat_alone_believes_the_tokens_of_auth_elsewhere(
    migrated_url: str, tmp_path: Path, log: Log
) -> None:
    async with serving(settings_for(migrated_url, tmp_path), ["auth"], log, NO_ENVIRON) as auth:
        async with auth.first_administrator() as made:
            assert made is not None
            token = await log_in(auth.server.address, Administrator(made.email, made.password))
        apart = settings_for(migrated_url, tmp_path, USERS_SERVICE_URL=f"http://{auth.server.address}")
        async with serving(apart, ["chat"], log, NO_ENVIRON) as alone:
            events = await chat(alone.server.address, authorization=f"Bearer {token}")
            assert events[0].started.session_id
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await log_in(alone.server.address, Administrator("a@example.com", "x" * 12))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_chat_alone_needs_to_know_where_auth_is(tmp_path: Path, log: Log) -> None:
    settings = settings_for("postgresql://127.0.0.1:1/x", tmp_path)
    with pytest.raises(StartupError) as caught:
        async with serving(settings, ["chat"], log, NO_ENVIRON):
            pass
    assert "ANTIPHON_PEERS__AUTH" in caught.value.advice


@pytest.mark.parametrize("fault", ["database", "schemas", "secret", "metrics"])
async def test_a_start_that_fails_says_why_and_leaves_no_port_behind(
    postgres_url: str, tmp_path: Path, log: Log, fault: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    taken = socket.create_server(("127.0.0.1", 0))
    more = {"ANTIPHON_SERVER__PORT": str(port)}
    url = postgres_url
    expected = {
        "database": "cannot be reached",
        "schemas": "waits for migrations",
        "secret": "ANTIPHON_SECRET_KEY is not set",
        "metrics": "can't listen",
    }[fault]
    if fault == "database":
        url = "postgresql://ana:hunter2@127.0.0.1:1/x"
    elif fault == "secret":
        more["ANTIPHON_SECRET_KEY"] = ""
    elif fault == "metrics":
        more["ANTIPHON_METRICS__ADDRESS"] = f"127.0.0.1:{taken.getsockname()[1]}"
    with taken, pytest.raises(StartupError, match=expected) as caught:
        async with serving(settings_for(url, tmp_path, **more), [], log, NO_ENVIRON):
            pass
    assert caught.value.advice
    assert "hunter2" not in str(caught.value)
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_running_announces_and_ends_when_it_is_told_to(
    migrated_url: str, tmp_path: Path, log: Log
) -> None:
    announced: asyncio.Future[tuple[str, Administrator | None]] = asyncio.get_running_loop().create_future()

    def told(suite: Suite, administrator: Administrator | None) -> None:
        announced.set_result((suite.server.address, administrator))

    work = asyncio.create_task(run(settings_for(migrated_url, tmp_path), [], log, NO_ENVIRON, told))
    address, administrator = await announced
    assert administrator is not None
    assert await log_in(address, administrator)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    with pytest.raises(grpc.aio.AioRpcError):
        await log_in(address, administrator)


async def findings(settings: Settings, **environ: str) -> dict[str, Finding]:
    return {finding.name: finding async for finding in diagnose(settings, environ)}


async def test_the_doctor_finds_a_suite_that_is_well(migrated_url: str, tmp_path: Path, log: Log) -> None:
    settings = settings_for(migrated_url, tmp_path)
    found = await findings(settings)
    assert {finding.verdict for finding in found.values()} <= {Verdict.GOOD, Verdict.NOTE}
    assert "not made yet" in found["signing keys"].detail
    assert "only echo" in found["models"].detail
    async with serving(settings, [], log, NO_ENVIRON) as suite:
        same = dataclasses.replace(
            settings, server=dataclasses.replace(settings.server, port=suite.server.port)
        )
        found = await findings(same, OPENAI_API_KEY="k" * 20)
        assert found["address"].verdict is Verdict.NOTE
        assert "the secret opens them" in found["signing keys"].detail
        assert found["models"].verdict is Verdict.GOOD


async def test_the_doctor_tells_a_secret_that_does_not_fit(
    migrated_url: str, tmp_path: Path, log: Log
) -> None:
    async with serving(settings_for(migrated_url, tmp_path), [], log, NO_ENVIRON):
        pass
    other = settings_for(migrated_url, tmp_path, ANTIPHON_SECRET_KEY="b" * 40)
    assert (await findings(other))["signing keys"].verdict is Verdict.BAD


async def test_the_doctor_tells_what_is_wrong_and_what_to_do(postgres_url: str, tmp_path: Path) -> None:
    found = await findings(settings_for(postgres_url, tmp_path, ANTIPHON_PEERS__AUTH="127.0.0.1:1"))
    assert found["schemas"].verdict is Verdict.BAD
    assert "antiphon migrate" in found["schemas"].advice
    assert found["peer auth"].verdict is Verdict.BAD
    found = await findings(settings_for("postgresql://ana:hunter2@127.0.0.1:1/x", tmp_path), CORS_ORIGINS="x")
    assert found["database"].verdict is Verdict.BAD
    assert "hunter2" not in str(found)
    assert "CORS_ORIGINS" in found["settings"].detail


async def test_the_doctor_changes_nothing_where_nothing_is(tmp_path: Path) -> None:
    settings = Settings.load({"ANTIPHON_SERVER__PORT": "0"}, tmp_path)
    found = await findings(settings)
    assert "first start" in found["database"].detail
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - the test alone waits for it.
