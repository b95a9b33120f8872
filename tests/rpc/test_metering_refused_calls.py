"""What the meter is told of calls in which nothing began, whatever stopped them on their way through the runtime."""

# ruff: noqa: N802 - RPC methods carry the contract's names.

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from antiphon.usage.v1 import usage_pb2

from services.capabilities.upstream.errors import ModelNotReady
from services.chat.errors import ModelNotFound
from services.kernel.errors import Cancelled, QuotaViolation, Unavailable
from services.kernel.limits import AccountLimit, Allowance, Limit, RateLimited, RateLimits
from services.kernel.metering import EndedCall
from services.kernel.principal import ANONYMOUS, Principal
from services.kernel.request import current
from services.runtime.mounted import Mounted
from services.settings import ServerSettings
from tests.fakes.metering_memory import until
from tests.fakes.runtime_services import CALLERS, Running, bearer, running

CHAT = "/antiphon.chat.v1.ChatService/Chat"


@dataclass
class Meter:
    """Keeps what it is told."""

    told: list[EndedCall] = field(default_factory=list)

    def ended_without_result(self, call: EndedCall) -> None:
        self.told.append(call)


async def _nothing() -> None:
    return None


@dataclass
class Desk(chat_pb2_grpc.ChatServiceServicer):
    """Chat, doing what a test wants before it answers."""

    act: Callable[[], Awaitable[None]] = _nothing
    calls: int = 0

    async def Chat(self, request: Any, context: Any) -> Any:
        self.calls += 1
        await self.act()
        return chat_pb2.ChatResponse()

    async def StreamChat(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.calls += 1
        yield chat_pb2.StreamChatResponse()
        await self.act()

    async def ListModels(self, request: Any, context: Any) -> Any:
        await self.act()
        return chat_pb2.ListModelsResponse()


@dataclass
class Stage:
    """A server with a desk and a meter."""

    running: Running
    meter: Meter
    desk: Desk

    async def refused(
        self, caller: str = "user", *, timeout: float | None = None, **request: Any
    ) -> EndedCall:
        """A call that fails, and what the meter was told of it."""
        message = chat_pb2.ChatRequest(**{"message": "Hola", **request})
        with pytest.raises(grpc.aio.AioRpcError):
            await self.running.chat.Chat(message, metadata=bearer(caller) if caller else (), timeout=timeout)
        await until(lambda: self.meter.told)
        (told,) = self.meter.told
        assert (told.service_type, told.operation) == (usage_pb2.SERVICE_TYPE_LLM_CHAT, "Chat")
        return told

    def acts(self, error: BaseException) -> None:
        async def act() -> None:
            raise error

        self.desk.act = act


@pytest.fixture
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    meter, desk = Meter(), Desk()
    limits: RateLimits | None = getattr(request, "param", None)
    mounted = Mounted("chat", {"antiphon.chat.v1.ChatService": desk}, meter=meter, limits=limits)
    settings = ServerSettings(port=0, grace=0.2, max_concurrent_calls=3)
    with tempfile.TemporaryFile() as log:
        async with running(log.fileno(), settings=settings, mounted=[mounted], level="CRITICAL") as found:
            yield Stage(found, meter, desk)


async def test_what_succeeds_tells_nothing_here(stage: Stage) -> None:
    await stage.running.chat.Chat(chat_pb2.ChatRequest(message="Hola"))
    async for _ in stage.running.chat.StreamChat(chat_pb2.StreamChatRequest(message="Hola")):
        pass
    assert stage.desk.calls == 2
    assert stage.meter.told == []


async def test_what_has_begun_tells_nothing_here_however_it_ends(stage: Stage) -> None:
    async def act() -> None:
        current().begun = True
        raise Unavailable("the model is away")

    stage.desk.act = act
    with pytest.raises(grpc.aio.AioRpcError):
        await stage.running.chat.Chat(chat_pb2.ChatRequest(message="Hola"))
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in stage.running.chat.StreamChat(chat_pb2.StreamChatRequest(message="Hola")):
            pass
    assert stage.desk.calls == 2
    assert stage.meter.told == []


async def test_what_is_not_metered_tells_nothing(stage: Stage) -> None:
    stage.acts(Unavailable("away"))
    with pytest.raises(grpc.aio.AioRpcError):
        await stage.running.chat.ListModels(chat_pb2.ListModelsRequest())
    assert stage.meter.told == []


async def test_a_question_goes_with_a_call_whose_beginning_is_not_known(stage: Stage) -> None:
    async def question() -> bool | None:
        return None

    async def act() -> None:
        current().begun = question
        raise Unavailable("the connection broke")

    stage.desk.act = act
    told = await stage.refused()
    assert (told.question, told.reason) == (question, "UNAVAILABLE")


async def test_a_bad_credential_is_nobodys(stage: Stage) -> None:
    told = await stage.refused("somebody", project="demo")
    assert (told.reason, told.principal, told.cancelled) == ("TOKEN_INVALID", ANONYMOUS, False)
    # Nothing was read of what was sent.
    assert told.project == ""


async def test_a_key_without_the_scope_is_its_owners(stage: Stage) -> None:
    told = await stage.refused("key")
    assert (told.reason, told.principal) == ("SCOPE_REQUIRED", CALLERS["key"])
    assert (told.principal.user_id, told.principal.api_key_id) == ("ana", "k1")


async def test_a_service_is_told_with_the_person_it_calls_for(stage: Stage) -> None:
    stage.acts(Unavailable("away"))
    told = await stage.refused("service-for-ana")
    assert (told.principal.user_id, told.principal.service) == ("ana", "chat")


@pytest.mark.parametrize(
    ("project", "kept"), [("demo", "demo"), ("p" * 128, "p" * 128), ("p" * 129, ""), ("de\0mo", "")]
)
async def test_a_call_that_breaks_the_rules_names_its_project_if_that_can_be_kept(
    stage: Stage, project: str, kept: str
) -> None:
    told = await stage.refused(project=project, request_id="no UUID")
    assert (told.reason, told.project, told.model) == ("INVALID_ARGUMENT", kept, "")


async def test_a_project_that_nobody_is_held_to_is_not_kept(stage: Stage) -> None:
    told = await stage.refused("", project="demo", request_id="no UUID")
    assert (told.reason, told.principal, told.project) == ("INVALID_ARGUMENT", ANONYMOUS, "")


async def test_bytes_that_are_no_message(stage: Stage) -> None:
    call: Any = stage.running.channel.unary_unary(CHAT)
    with pytest.raises(grpc.aio.AioRpcError):
        await call(b"\xff\xff\xff", metadata=bearer("user"))
    (told,) = stage.meter.told
    assert (told.reason, told.project, told.principal.user_id) == ("INVALID_ARGUMENT", "", "ana")


async def test_a_model_is_named_when_there_is_one(stage: Stage) -> None:
    stage.acts(ModelNotReady("gpt", "its key is missing"))
    told = await stage.refused(model="gpt")
    assert (told.reason, told.model) == ("MODEL_NOT_READY", "gpt")


async def test_a_model_that_there_is_not_is_not_named(stage: Stage) -> None:
    stage.acts(ModelNotFound("whatever somebody thinks of"))
    told = await stage.refused(model="whatever somebody thinks of")
    assert (told.reason, told.model) == ("MODEL_NOT_FOUND", "")


async def test_a_defect_is_told_as_its_caller_is_told(stage: Stage) -> None:
    stage.acts(RuntimeError("a secret"))
    told = await stage.refused()
    assert (told.reason, told.cancelled) == ("INTERNAL", False)


async def test_what_has_been_cancelled_is_cancelled(stage: Stage) -> None:
    stage.acts(Cancelled("it was cancelled"))
    told = await stage.refused()
    assert (told.reason, told.cancelled) == ("", True)


async def test_a_caller_who_goes_away_has_cancelled(stage: Stage) -> None:
    came = asyncio.Event()

    async def act() -> None:
        came.set()
        await asyncio.Event().wait()

    stage.desk.act = act
    call = stage.running.chat.Chat(chat_pb2.ChatRequest(message="Hola"), metadata=bearer("user"))
    waiting = asyncio.ensure_future(call)
    await came.wait()
    call.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    await until(lambda: stage.meter.told)
    (told,) = stage.meter.told
    assert (told.cancelled, told.reason, told.principal.user_id) == (True, "", "ana")


async def test_a_deadline_that_is_over_is_an_error(stage: Stage) -> None:
    async def act() -> None:
        await asyncio.Event().wait()

    stage.desk.act = act
    told = await stage.refused(timeout=0.2)
    assert (told.cancelled, told.reason) == (False, "DEADLINE_EXCEEDED")
    assert 0.1 < told.seconds < 5


async def test_calls_past_what_the_server_takes(stage: Stage) -> None:
    gate = asyncio.Event()

    async def act() -> None:
        await gate.wait()

    stage.desk.act = act
    held = [stage.running.chat.Chat(chat_pb2.ChatRequest(message="Hola")) for _ in range(3)]
    waiting = [asyncio.ensure_future(call) for call in held]
    await until(lambda: stage.desk.calls == 3)
    told = await stage.refused()
    assert (told.reason, told.principal) == ("OVERLOADED", ANONYMOUS)
    gate.set()
    await asyncio.gather(*waiting)


class Strict:
    """Limits that nobody keeps to."""

    account: AccountLimit | None = None

    def of(self, name: str) -> Limit | None:
        return self

    async def take(self, principal: Principal, address: str) -> Allowance | None:
        quota = QuotaViolation(principal.user_id, "one call a minute")
        raise RateLimited("too many calls", name="chat", quota=quota, allowance=Allowance(1, 0, 30.0))


@pytest.mark.parametrize("stage", [Strict()], indirect=True)
async def test_calls_past_a_limit_are_their_callers(stage: Stage) -> None:
    told = await stage.refused(project="demo")
    assert (told.reason, told.principal.user_id) == ("RATE_LIMITED", "ana")
    # Whoever is past a limit is refused before anything is read.
    assert told.project == ""


async def test_calls_while_the_server_stops() -> None:
    meter, draining, drained = Meter(), asyncio.Event(), asyncio.Event()

    async def drain(grace: float) -> None:
        draining.set()
        await drained.wait()

    mounted = Mounted("chat", {"antiphon.chat.v1.ChatService": Desk()}, meter=meter, drain=drain)
    with tempfile.TemporaryFile() as log:
        async with AsyncExitStack() as stack:
            found = await stack.enter_async_context(
                running(log.fileno(), mounted=[mounted], level="CRITICAL")
            )
            async with grpc.aio.insecure_channel(found.server.address) as channel:
                stub = chat_pb2_grpc.ChatServiceStub(channel)
                stopping = asyncio.create_task(stack.aclose())
                await draining.wait()
                with pytest.raises(grpc.aio.AioRpcError):
                    await stub.Chat(chat_pb2.ChatRequest(message="Hola"), metadata=bearer("user"))
                drained.set()
                await stopping
    (told,) = meter.told
    assert (told.reason, told.principal) == ("SHUTTING_DOWN", ANONYMOUS)
