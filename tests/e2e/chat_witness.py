"""What a client was told of answers, held against the record that a later suite has of them."""

import asyncio
import contextlib
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psycopg
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from antiphon.usage.v1 import usage_pb2

from services.infra.postgres.record import read_record

RUNNING = chat_pb2.GENERATION_STATE_RUNNING
INTERRUPTED = chat_pb2.GENERATION_STATE_INTERRUPTED
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


@dataclass
class Witness:
    """One answer, as far as its client saw it. Without a `token` the caller is anonymous."""

    text: str
    token: str
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    events: list[chat_pb2.ChatEvent] = field(default_factory=list)
    status: str = ""

    @property
    def started(self) -> chat_pb2.Started | None:
        return self.events[0].started if self.events else None

    @property
    def finished(self) -> bool:
        return bool(self.events) and self.events[-1].HasField("finished")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def request(self) -> chat_pb2.StreamChatRequest:
        return chat_pb2.StreamChatRequest(message=self.text, model="echo", request_id=self.request_id)

    async def watch(self, stub: Any) -> "Witness":
        """Ask, and keep what comes until the stream ends, however it does."""
        try:
            async for response in stub.StreamChat(self.request(), metadata=self.metadata):
                self.events.append(response.event)
            self.status = "OK"
        except grpc.aio.AioRpcError as error:
            self.status = error.code().name
        return self


@contextlib.asynccontextmanager
async def chat_at(address: str) -> Any:
    """A stub with a connection of its own."""
    async with grpc.aio.insecure_channel(address, _OPTIONS) as channel:
        yield chat_pb2_grpc.ChatServiceStub(channel)


async def watch_all(address: str, witnesses: list[Witness]) -> None:
    """All of these at once."""
    async with chat_at(address) as stub:
        await asyncio.gather(*(witness.watch(stub) for witness in witnesses))


@dataclass
class Found:
    """What the record says of what the witnesses saw."""

    states: Counter[str] = field(default_factory=Counter)
    events: int = 0


async def hold_against_record(address: str, witnesses: list[Witness]) -> Found:
    """Fails when the record lacks anything that a witness saw, or says otherwise, or has not ended."""
    found = Found()
    async with chat_at(address) as stub:
        for witness in witnesses:
            if witness.started is not None:
                await _hold_one(stub, witness, found)
    return found


async def _hold_one(stub: Any, witness: Witness, found: Found) -> None:
    started, metadata = witness.started, witness.metadata
    assert started is not None
    names = {"generation_id": started.generation_id, "resume_token": started.resume_token}
    answer = await stub.GetGeneration(chat_pb2.GetGenerationRequest(**names), metadata=metadata)
    generation = answer.generation
    state = chat_pb2.GenerationState.Name(generation.state).removeprefix("GENERATION_STATE_")
    found.states[state] += 1
    found.events += len(witness.events)
    assert generation.state != RUNNING, f"{started.generation_id} is still running"
    if witness.finished:
        assert state == "COMPLETED", f"its client saw the end, and it is {state}"

    record, ended_with = await _resume(stub, names, 0, metadata)
    assert ended_with == ("OK" if state == "COMPLETED" else "ABORTED"), (state, ended_with)
    seqs = [event.seq for event in record]
    assert [event.first_seq for event in record] == [1, *(seq + 1 for seq in seqs[:-1])], (
        "the record has a gap"
    )
    whole = "".join(event.text_delta.text for event in record)
    assert generation.text == whole
    seen = "".join(event.text_delta.text for event in witness.events)
    assert whole.startswith(seen), "the record lacks what a client was given"
    last = witness.events[-1].seq
    rest, _ = await _resume(stub, names, last, metadata)
    assert seen + "".join(event.text_delta.text for event in rest) == whole, "resuming leaves a gap"

    if started.session_id:
        await _hold_messages(stub, witness, whole)


async def _resume(
    stub: Any, names: dict[str, str], after_seq: int, metadata: Any
) -> tuple[list[chat_pb2.ChatEvent], str]:
    events: list[chat_pb2.ChatEvent] = []
    call = stub.ResumeStream(
        chat_pb2.ResumeStreamRequest(after_seq=after_seq, **names), metadata=metadata, timeout=20
    )
    try:
        while (response := await call.read()) is not grpc.aio.EOF:
            events.append(response.event)
    except grpc.aio.AioRpcError as error:
        return events, error.code().name
    return events, "OK"


async def _hold_messages(stub: Any, witness: Witness, whole: str) -> None:
    started = witness.started
    assert started is not None
    request = chat_pb2.ListMessagesRequest(session_id=started.session_id)
    answer = await stub.ListMessages(request, metadata=witness.metadata)
    texts = {
        chat_pb2.MessageRole.Name(message.role): "".join(part.text for part in message.parts)
        for message in answer.messages
    }
    expected = {"MESSAGE_ROLE_USER": witness.text} | ({"MESSAGE_ROLE_ASSISTANT": whole} if whole else {})
    assert texts == expected


def usage_of(data_dir: Path) -> Counter[str]:
    """How many usage events each request_id has, on the embedded database of a running suite: an event waits in Chat's outbox, or has come to
    Analytics, or is in both for a moment."""
    record = read_record(data_dir / "postgres")
    assert record is not None
    with psycopg.connect(record.url, autocommit=True) as connection:
        rows = connection.execute(
            "select event_id, payload, null from chat.outbox union all select event_id, null, request_id from analytics.events"
        ).fetchall()
    return Counter(
        {
            event_id: usage_pb2.UsageEvent.FromString(payload).request_id if payload else request_id
            for event_id, payload, request_id in rows
        }.values()
    )


def generations_of(data_dir: Path) -> dict[str, str]:
    """Of every generation on the embedded database of a running suite, the state by request id."""
    record = read_record(data_dir / "postgres")
    assert record is not None
    with psycopg.connect(record.url, autocommit=True) as connection:
        rows = connection.execute("select request_id::text, state from chat.generations").fetchall()
    return dict(rows)


def hold_usage(data_dir: Path) -> tuple[int, int]:
    """Fails unless each generation has ended and has exactly one usage event; how many there are of both."""
    used = usage_of(data_dir)
    made = generations_of(data_dir)
    assert "running" not in made.values()
    assert used == Counter(made.keys()), {name: used[name] for name in used | made.keys() if used[name] != 1}
    return len(made), sum(used.values())
