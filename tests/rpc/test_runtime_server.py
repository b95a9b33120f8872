"""The server as its operator sees it: health, reflection, metrics, addresses, stop."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kernel.startup import StartupError
from services.runtime.health import Health
from services.runtime.logs import Log
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.server import Server
from services.settings import ServerSettings
from tests.fakes.runtime_services import AuthDouble, Behaviour, ChatDouble, Running, bearer, reason, running

AUTH, CHAT = "antiphon.auth.v1.AuthService", "antiphon.chat.v1.ChatService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def log_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@pytest.fixture
async def suite(log_file: int) -> AsyncIterator[Running]:
    async with running(log_file) as found:
        yield found


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event.
            await asyncio.sleep(0.01)


class Dependency:
    name = "database"

    def __init__(self) -> None:
        self.wrong: str | None = None
        self.hangs = False
        self.raises: Exception | None = None

    async def check(self) -> str | None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.raises is not None:
            raise self.raises
        return self.wrong


async def status(channel: grpc.aio.Channel, service: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def test_health_is_told_for_the_process_and_for_each_service(suite: Running) -> None:
    for name in ("", "live", AUTH, CHAT):
        assert await status(suite.channel, name) == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await status(suite.channel, "antiphon.image.v1.ImageService")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("how", ["wrong", "hangs", "raises"])
async def test_a_service_is_ready_only_while_what_it_needs_works(log_file: int, how: str) -> None:
    dependency, metrics, behaviour = Dependency(), Metrics(), Behaviour()
    mounted = [
        Mounted("auth", {AUTH: AuthDouble(behaviour)}),
        Mounted("chat", {CHAT: ChatDouble(behaviour)}, checks=(dependency,)),
    ]
    health = Health(mounted, metrics, interval=0.02, bound=0.1)
    seen: dict[str, int] = {}

    async def states() -> dict[str, int]:
        for name in ("live", "", AUTH, CHAT):
            response = await health.methods()[0].behavior(health_pb2.HealthCheckRequest(service=name), None)  # type: ignore[misc]
            seen[name] = response.status
        return seen

    async def become(chat: int) -> None:
        async with asyncio.timeout(5):
            while (await states())[CHAT] != chat:  # noqa: ASYNC110 - what is waited for has no event.
                await asyncio.sleep(0.01)

    async with health.watched():
        await become(SERVING)
        assert set(seen.values()) == {SERVING}
        if how == "wrong":
            dependency.wrong = "it is gone"
        elif how == "hangs":
            dependency.hangs = True
        else:
            dependency.raises = ConnectionError("password=hunter2")
        await become(NOT_SERVING)
        assert (seen["live"], seen[AUTH], seen[""]) == (SERVING, SERVING, NOT_SERVING)
        ((_, why),) = health.broken.items()
        assert "hunter2" not in why
        labels = {"service": "chat", "check": "database"}
        assert metrics.registry.get_sample_value("antiphon_healthy", labels) == 0
        dependency.wrong, dependency.hangs, dependency.raises = None, False, None
        await become(SERVING)
        assert metrics.registry.get_sample_value("antiphon_healthy", labels) == 1


async def test_the_metrics_page_is_served_beside(suite: Running) -> None:
    await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=bearer("user"))
    async with (
        suite.metrics.page("127.0.0.1:0") as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        text = await response.text()
    assert 'antiphon_calls_total{code="OK",method="/antiphon.auth.v1.AuthService/GetProfile"} 1.0' in text
    assert "antiphon_event_loop_lag_seconds" in text
    assert "process_resident_memory_bytes" in text


async def test_a_taken_metrics_address_is_told() -> None:
    metrics = Metrics()
    async with metrics.page("127.0.0.1:0") as port:
        with pytest.raises(StartupError, match="already in use") as caught:
            async with metrics.page(f"127.0.0.1:{port}"):
                pass
        assert "ANTIPHON_METRICS__ADDRESS" in caught.value.advice


async def test_no_address_no_page() -> None:
    async with Metrics().page("") as port:
        assert port is None


async def test_a_taken_port_is_told_with_what_to_do(suite: Running, log_file: int) -> None:
    with pytest.raises(StartupError, match="is in use") as caught:
        Server(ServerSettings(port=suite.server.port), Metrics(), Log("INFO", pretty=False, stream=log_file))
    assert str(suite.server.port) in caught.value.message
    assert "pid" in caught.value.message
    assert "--port" in caught.value.advice


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_plain_text_for_other_machines_has_to_be_allowed_by_name(host: str, log_file: int) -> None:
    log = Log("INFO", pretty=False, stream=log_file)
    with pytest.raises(StartupError, match="plain text") as caught:
        Server(ServerSettings(host=host, port=0), Metrics(), log)
    assert "ANTIPHON_SERVER__ALLOW_PLAINTEXT" in caught.value.advice


async def test_plain_text_for_other_machines_can_be_allowed(log_file: int) -> None:
    settings = ServerSettings(host="0.0.0.0", port=0, grace=0.1, allow_plaintext=True)
    async with running(log_file, settings=settings) as suite:
        with socket.create_connection(("127.0.0.1", suite.server.port), timeout=5):
            pass
        assert suite.server.reachable_address == f"127.0.0.1:{suite.server.port}"


async def test_an_address_of_another_machine_is_told(log_file: int) -> None:
    settings = ServerSettings(host="192.0.2.1", port=50999, allow_plaintext=True)
    with pytest.raises(StartupError, match=r"192\.0\.2\.1"):
        Server(settings, Metrics(), Log("INFO", pretty=False, stream=log_file))


class Draining:
    """Holds a stop up until it is released, and says how."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.grace = 0.0

    async def __call__(self, grace: float) -> None:
        self.grace = grace
        self.began.set()
        await self.may_end.wait()


async def test_a_stop_refuses_new_calls_drains_and_lets_running_ones_end(log_file: int) -> None:
    behaviour, draining = Behaviour(hold=asyncio.Event()), Draining()
    mounted = [
        Mounted("auth", {AUTH: AuthDouble(behaviour)}),
        Mounted("chat", {CHAT: ChatDouble(behaviour)}, drain=draining),
    ]
    server = Server(ServerSettings(port=0, grace=5), Metrics(), Log("INFO", pretty=False, stream=log_file))
    asked = asyncio.Event()

    async def serve() -> None:
        async with server.serving(mounted, NobodyIsKnown()):
            await asked.wait()

    serving = asyncio.create_task(serve())
    async with grpc.aio.insecure_channel(server.address) as channel:
        suite = Running(server, Metrics(), Health([], Metrics()), channel, behaviour, log_file)
        call: Any = suite.chat.StreamChat(chat_pb2.StreamChatRequest(message="Hello"))
        await behaviour.started.wait()
        asked.set()
        await draining.began.wait()
        assert draining.grace == 5
        assert await status(channel, "") == NOT_SERVING
        assert await status(channel, CHAT) == NOT_SERVING
        assert await status(channel, "live") == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await suite.auth.Login(auth_pb2.LoginRequest(email="ana@example.com", password="correct horse"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason(caught.value) == "SHUTTING_DOWN"
        assert behaviour.hold is not None
        behaviour.hold.set()
        draining.may_end.set()
        assert len([response async for response in call]) == 3
    async with asyncio.timeout(5):
        await serving


class NobodyIsKnown:
    async def authenticate(self, metadata: Any) -> None:
        return None


async def test_a_stop_waits_no_longer_than_its_grace_period(log_file: int) -> None:
    behaviour = Behaviour(hold=asyncio.Event())
    began = 0.0
    async with running(log_file, behaviour=behaviour, settings=ServerSettings(port=0, grace=0.2)) as suite:
        call: Any = suite.chat.StreamChat(chat_pb2.StreamChatRequest(message="Hello"))
        watching: Any = health_pb2_grpc.HealthStub(suite.channel)
        watch = watching.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == SERVING
        await behaviour.started.wait()
        began = time.monotonic()
        # The stop begins when the block ends, with a stream and a watcher still there.
        ended = asyncio.create_task(_status_of(call))
    assert time.monotonic() - began < 4
    assert await ended in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    async with asyncio.timeout(5):
        await behaviour.ended.wait()


async def _status_of(call: Any) -> grpc.StatusCode:
    return await call.code()  # type: ignore[no-any-return]


async def test_watchers_do_not_hold_a_stop_up(log_file: int) -> None:
    async with running(log_file, settings=ServerSettings(port=0, grace=30)) as suite:
        stub: Any = health_pb2_grpc.HealthStub(suite.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=CHAT))
        assert (await watch.read()).status == SERVING
        began = time.monotonic()
    assert time.monotonic() - began < 5


async def test_a_failed_drain_does_not_keep_the_server_from_stopping(
    log_file: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(grace: float) -> None:
        raise RuntimeError("broken")

    mounted = [Mounted("auth", {AUTH: AuthDouble(Behaviour())}, drain=broken)]
    async with running(log_file, mounted=mounted) as suite:
        port = suite.server.port
    assert "draining failed" in caplog.text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


async def test_a_server_that_never_served_gives_its_port_back(log_file: int) -> None:
    log = Log("INFO", pretty=False, stream=log_file)
    server = Server(ServerSettings(port=0), Metrics(), log)
    await server.close()
    again = Server(ServerSettings(port=server.port), Metrics(), log)
    await again.close()
