"""How callers may go, at which moment, and what then becomes of their answer: it stops or goes on as they said, and is counted once."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import psycopg
import pytest
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from antiphon.usage.v1 import usage_pb2
from google.protobuf.duration_pb2 import Duration

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import Person, Serve, Served, next_event, told, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

STOP, CONTINUE = chat_pb2.ON_DISCONNECT_STOP, chat_pb2.ON_DISCONNECT_CONTINUE
GRACE = 0.4
DEADLINE = 0.5
MODES: dict[str, dict[str, Any]] = {
    "stop": {"on_disconnect": STOP},
    "continue": {"on_disconnect": CONTINUE},
    "stop with grace": {"on_disconnect": STOP, "disconnect_grace": Duration(nanos=int(GRACE * 1e9))},
}
MOMENTS = ("before the first token", "mid-stream", "during the final transaction")
WORDS = ("one ", "two ", "three")
TEXTS = {MOMENTS[0]: "", MOMENTS[1]: "one ", MOMENTS[2]: "one two three"}


class Line:
    """The wire between a client and the suite, which can be torn: then the suite sees what it sees of a client that was killed."""

    def __init__(self, target: str) -> None:
        self._target = target.rsplit(":", 1)
        self._ends: list[asyncio.StreamWriter] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target
        there, to_there = await asyncio.open_connection(host, int(port))
        self._ends += [writer, to_there]
        await asyncio.gather(_copy(reader, to_there), _copy(there, writer))

    def tear(self) -> None:
        for end in self._ends:
            end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def line_to(suite: Served) -> AsyncIterator[Line]:
    line = Line(suite.suite.server.address)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        line.tear()
        server.close()
        await server.wait_closed()


@dataclass
class Answer:
    """One that has come to the moment at which its caller goes. `release` lets its final transaction pass."""

    call: Any
    cue: Cue
    started: chat_pb2.Started
    line: Line
    release: Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def answer_at(
    moment: str, suite: Served, model: Stage, person: Person, timeout: float | None = None, **more: Any
) -> AsyncIterator[Answer]:
    """An answer that has come to this moment, for a caller with a connection of its own."""
    cue = Cue(*WORDS)
    model.play(cue.play)
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with contextlib.AsyncExitStack() as stack:
        line = await stack.enter_async_context(line_to(suite))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(line.address, options))
        request = chat_pb2.StreamChatRequest(message="Count for me", **more)
        stub: Any = chat_pb2_grpc.ChatServiceStub(channel)
        call = stub.StreamChat(request, metadata=person.metadata, timeout=timeout)
        started = (await next_event(call)).started
        await model.asked()
        lock = await stack.enter_async_context(
            await psycopg.AsyncConnection.connect(suite.url, autocommit=False)
        )
        if moment == "mid-stream":
            cue.next()
            assert (await next_event(call)).text_delta.text == "one "
        elif moment == "during the final transaction":
            await lock.execute(
                "select from chat.generations where generation_id = %s for update", (started.generation_id,)
            )
            cue.next(len(WORDS))

            async def waits() -> bool:
                rows = await suite.rows(
                    "select count(*) from pg_stat_activity where datname = current_database()"
                    " and wait_event_type = 'Lock'"
                )
                return rows != [(0,)]

            await until(waits)
        yield Answer(call, cue, started, line, lock.rollback)


async def ended(suite: Served, person: Person, started: chat_pb2.Started) -> chat_pb2.Generation:
    async def look() -> chat_pb2.Generation | None:
        request = chat_pb2.GetGenerationRequest(generation_id=started.generation_id)
        made = (await suite.chat.GetGeneration(request, metadata=person.metadata)).generation
        return made if made.state != chat_pb2.GENERATION_STATE_RUNNING else None

    made: chat_pb2.Generation = await until(look)
    return made


async def hold(suite: Served, person: Person, started: chat_pb2.Started, text: str, *states: str) -> None:
    """The record says so, its message and its usage event, which there is once."""
    made = await ended(suite, person, started)
    state = chat_pb2.GenerationState.Name(made.state).removeprefix("GENERATION_STATE_")
    assert state in states
    assert made.text == text
    listed = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=started.session_id), metadata=person.metadata
    )
    answers = [message.parts[0].text for message in listed.messages][:-1]
    assert answers == ([text] if text else [])
    statuses = {
        "COMPLETED": usage_pb2.USAGE_STATUS_SUCCESS,
        "CANCELLED": usage_pb2.USAGE_STATUS_CANCELLED,
    }
    metered = [event.status for event in await suite.metered(person)]
    assert metered == [statuses.get(state, usage_pb2.USAGE_STATUS_ERROR)]


async def _cancel(answer: Answer) -> None:
    answer.call.cancel()


async def _tear(answer: Answer) -> None:
    answer.line.tear()
    with contextlib.suppress(grpc.aio.AioRpcError):
        await told(answer.call)


async def _run_out(answer: Answer) -> None:
    _, status = await told(answer.call)
    assert status is not None
    assert status.code.name == "DEADLINE_EXCEEDED"


WAYS = {"client cancel": _cancel, "connection gone": _tear, "deadline": _run_out}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_whose_caller_goes(
    suite: Served, model: Stage, ana: Person, way: str, moment: str, mode: str
) -> None:
    timeout = DEADLINE if way == "deadline" else None
    async with answer_at(moment, suite, model, ana, timeout, **MODES[mode]) as answer:
        await WAYS[way](answer)
        left = time.monotonic()
        if moment == "during the final transaction":
            # All is said: whoever goes now changes nothing.
            await asyncio.sleep(0.05)
            await answer.release()
            await hold(suite, ana, answer.started, "one two three", "COMPLETED")
        elif mode == "continue":
            answer.cue.next(len(WORDS))
            await hold(suite, ana, answer.started, "one two three", "COMPLETED")
        else:
            async with asyncio.timeout(1 + (GRACE if mode == "stop with grace" else 0)):
                await answer.cue.gone.wait()
            if mode == "stop with grace" and way != "deadline":
                assert time.monotonic() - left > GRACE * 0.7
            # A caller's deadline ends what it asked for; which of the two is noticed first is open.
            states = ("CANCELLED", "FAILED") if way == "deadline" else ("CANCELLED",)
            await hold(suite, ana, answer.started, TEXTS[moment], *states)


@pytest.mark.parametrize("mode", ["stop", "continue"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_an_answer_whose_server_stops(
    serve: Serve, model: Stage, ana: Person, moment: str, mode: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        running = contextlib.AsyncExitStack()
        first = await running.enter_async_context(serve(ANTIPHON_SERVER__GRACE="0.2"))
        answer = await stack.enter_async_context(answer_at(moment, first, model, ana, **MODES[mode]))
        reading = asyncio.create_task(told(answer.call))
        stopping = asyncio.create_task(running.aclose())
        if moment == "during the final transaction":
            await asyncio.sleep(0.3)  # past the grace
            await answer.release()
            _, status = await reading
            assert status is None
        else:
            _, status = await reading
            assert status is not None
            assert status.what == ("ABORTED", "GENERATION_INTERRUPTED")
            async with asyncio.timeout(1):
                await answer.cue.gone.wait()
        await stopping
        state = "COMPLETED" if moment == "during the final transaction" else "INTERRUPTED"
        async with serve() as second:
            await hold(second, ana, answer.started, TEXTS[moment], state)


async def test_a_server_that_stops_and_can_not_record_the_end_leaves_it_to_the_next(
    serve: Serve, model: Stage, ana: Person
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        running = contextlib.AsyncExitStack()
        first = await running.enter_async_context(serve(ANTIPHON_SERVER__GRACE="0.2"))
        answer = await stack.enter_async_context(answer_at(MOMENTS[2], first, model, ana))
        reading = asyncio.create_task(told(answer.call))
        await running.aclose()
        _, status = await reading
        assert status is not None
        assert status.code.name in ("ABORTED", "UNAVAILABLE")
        await answer.release()
        async with serve(ANTIPHON_CHAT__LEASE_TTL="1") as second:
            # All words were on record; that these were the last ones died with the final transaction.
            await hold(second, ana, answer.started, "one two three", "INTERRUPTED")


_CLIENT = """
import sys
import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
address, credential, mode = sys.argv[1:]
stub = chat_pb2_grpc.ChatServiceStub(grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]))
request = chat_pb2.StreamChatRequest(message="Count for me", on_disconnect=int(mode))
for response in stub.StreamChat(request, metadata=(("authorization", credential),)):
    print(response.event.started.generation_id or response.event.text_delta.text, flush=True)
"""


@pytest.mark.parametrize("mode", ["stop", "continue"])
async def test_a_client_that_is_killed(suite: Served, model: Stage, ana: Person, mode: str) -> None:
    cue = Cue(*WORDS)
    model.play(cue.play)
    on_disconnect = str(MODES[mode]["on_disconnect"])
    credential = str(ana.metadata[0][1])
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", _CLIENT, suite.suite.server.address, credential, on_disconnect),
        stdout=subprocess.PIPE,
    )
    try:
        assert client.stdout is not None
        generation_id = (await client.stdout.readline()).decode().strip()
        cue.next()
        assert (await client.stdout.readline()).decode().strip() == "one"
    finally:
        client.kill()
        await client.wait()
    rows = await suite.rows(
        "select session_id::text from chat.generations where generation_id = %s", generation_id
    )
    started = chat_pb2.Started(generation_id=generation_id, session_id=rows[0][0])
    if mode == "stop":
        async with asyncio.timeout(1):
            await cue.gone.wait()
        await hold(suite, ana, started, "one ", "CANCELLED")
    else:
        cue.next(2)
        await hold(suite, ana, started, "one two three", "COMPLETED")
