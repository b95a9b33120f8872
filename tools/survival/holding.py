"""What has to hold of answers: each client's is the record, and each has been made and metered once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from tools.survival.clients import Client, End
from tools.survival.ledger import Entry
from tools.survival.stage import Deployment, Figures

_STATES = {
    End.COMPLETED: chat_pb2.GENERATION_STATE_COMPLETED,
    End.CANCELLED: chat_pb2.GENERATION_STATE_CANCELLED,
    End.INTERRUPTED: chat_pb2.GENERATION_STATE_INTERRUPTED,
}
_CHECKED_AT_ONCE = 8


async def hold_clients(
    deployment: Deployment, clients: Sequence[Client], figures: Figures, number: int
) -> None:
    """Each client's text is that of the record, at either replica."""
    turns = asyncio.Semaphore(_CHECKED_AT_ONCE)

    async def hold(client: Client, stub: Any) -> None:
        async with turns:
            try:
                await _hold_one(client, stub)
            except grpc.aio.AioRpcError as error:
                client.faults.append(f"its record can't be read: {error.code().name} {error.details()}")

    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with (
        grpc.aio.insecure_channel(deployment.first.address, options) as first,
        grpc.aio.insecure_channel(deployment.second.address, options) as second,
    ):
        stubs = [chat_pb2_grpc.ChatServiceStub(channel) for channel in (first, second)]
        await asyncio.gather(*(hold(client, stubs[index // 2 % 2]) for index, client in enumerate(clients)))
    for client in clients:
        figures.streams += 1
        figures.resumed += client.resumed > 0
        figures.begun_again += client.begun_again
        figures.ends[client.end] += 1
        figures.mismatches += bool(client.faults)
        names = client.started.generation_id if client.started else client.request_id
        figures.faults += [f"round {number + 1}, {names}: {fault}" for fault in client.faults]


async def _hold_one(client: Client, stub: Any) -> None:
    if client.started is None:
        client.faults.append("it never began")
        return
    asked = chat_pb2.GetGenerationRequest(**client.names())
    made = (await stub.GetGeneration(asked, metadata=client.metadata, timeout=20)).generation
    if client.end is not End.NONE and made.state != _STATES[client.end]:
        client.faults.append(
            f"it was told {client.end}, and the record says {chat_pb2.GenerationState.Name(made.state)}"
        )
    if made.text != client.text:
        client.faults.append(f"it holds {len(client.text)} characters, the record {len(made.text)}")
    await _hold_events(client, stub)
    if client.started.session_id:
        await _hold_messages(client, stub)


async def _hold_events(client: Client, stub: Any) -> None:
    request = chat_pb2.ResumeStreamRequest(after_seq=0, **client.names())
    seq, text = 0, ""
    try:
        async for response in stub.ResumeStream(request, metadata=client.metadata, timeout=20):
            event = response.event
            if event.first_seq != seq + 1:
                client.faults.append(f"the record has {event.first_seq} behind {seq}")
            seq = event.seq
            text += event.text_delta.text
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.ABORTED:
            raise
    if (seq, text) != (client.seq, client.text):
        client.faults.append(f"it came to position {client.seq}, the record to {seq}")


async def _hold_messages(client: Client, stub: Any) -> None:
    assert client.started is not None
    request = chat_pb2.ListMessagesRequest(session_id=client.started.session_id)
    answer = await stub.ListMessages(request, metadata=client.metadata, timeout=20)
    found = ["".join(part.text for part in message.parts) for message in answer.messages]
    expected = [client.text, "Count"] if client.text else ["Count"]
    if found != expected:
        client.faults.append(
            f"its session has {len(found)} messages instead of {len(expected)}, or other ones"
        )


async def hold_store(deployment: Deployment, figures: Figures) -> None:
    """Each generation has one usage event, and each request_id one generation that made anything."""
    entries, metered = await deployment.ledger.entries(), (await deployment.usage.kept()).event_ids
    figures.generations = len(entries)
    owned = Counter(entry.event_id for entry in entries)
    figures.missing_events = owned.pop(None, 0) + len(owned.keys() - metered)
    figures.doubled_events = owned.total() - len(owned) + len(metered - owned.keys())
    if figures.missing_events or figures.doubled_events:
        figures.faults.append("usage events are missing or doubled")
    figures.faults += [
        f"{len(made)} answers were made for the request_id {request_id}"
        for request_id, made in _answers(entries).items()
        if len(made) > 1
    ]


def _answers(entries: Sequence[Entry]) -> Mapping[str, list[Entry]]:
    """Of each request_id the generations that made something, or ended well."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.answered or entry.state == "completed":
            found.setdefault(entry.request_id, []).append(entry)
    return found
