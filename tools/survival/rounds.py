"""Rounds of killing or pausing, and what they have to show."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from tools.survival.clients import Client, End, Wish
from tools.survival.ledger import Entry, Ledger
from tools.survival.replicas import Replica

_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 20.0
_STATES = {
    End.COMPLETED: chat_pb2.GENERATION_STATE_COMPLETED,
    End.CANCELLED: chat_pb2.GENERATION_STATE_CANCELLED,
    End.INTERRUPTED: chat_pb2.GENERATION_STATE_INTERRUPTED,
}
_CHECKED_AT_ONCE = 8
# A killed process's last statements are mostly carried out, and would hide that something was delivered before it was durable.
_SHARE_OF_LOST_WRITES = 0.5
# How many words, and how many seconds before each: short and long, and some that take their time before the first one.
_PACES = ((1, 0.01), (4, 0.4), (20, 0.02), (80, 0.02), (160, 0.01), (240, 0.01))


@dataclass
class Figures:
    """What the rounds add up to. `faults` is empty when everything held."""

    rounds: int = 0
    streams: int = 0
    resumed: int = 0
    begun_again: int = 0
    ends: Counter[End] = field(default_factory=Counter)
    mismatches: int = 0
    generations: int = 0
    doubled_events: int = 0
    missing_events: int = 0
    taken_over: int = 0
    woken_writes: int = 0
    longest_late: float = 0.0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


@dataclass
class Deployment:
    """Two replicas on one store: `first` is the one that is killed or paused, `second` sees it happen. `tokens` are those of people."""

    first: Replica
    second: Replica
    ledger: Ledger
    tokens: Sequence[str]
    lease_seconds: float


async def survive(
    deployment: Deployment, rounds: int, clients: int, *, pause: bool, late_seconds: float, seed: int
) -> Figures:
    """Play the rounds, and hold what clients were given against the record."""
    figures, chance = Figures(), random.Random(seed)  # noqa: S311 - nothing secret is drawn.
    began = time.monotonic()
    async with _watching(deployment.ledger, figures):
        for number in range(rounds):
            played = _clients(deployment, clients, chance, pause=pause)
            if pause:
                await _paused(deployment, played, chance, figures)
            else:
                await _killed(deployment, played, chance)
            await _hold_clients(deployment, played, figures, number)
            figures.rounds += 1
        await _settled(deployment.ledger, figures)
    await _hold_store(deployment.ledger, figures)
    if figures.longest_late > late_seconds:
        figures.faults.append(f"a generation ran for {figures.longest_late:.1f} s past its lease")
    figures.seconds = time.monotonic() - began
    return figures


def _clients(deployment: Deployment, count: int, chance: random.Random, *, pause: bool) -> list[Client]:
    """Of ten: three anonymous, two that stop when nobody watches, three that ask again instead of resuming, and two at the other
    replica, of which nobody takes the server away."""
    addresses = (deployment.first.address, deployment.second.address)
    made = []
    for number in range(count):
        kind = number % 10
        wish = Wish(
            *chance.choice(_PACES),
            token="" if kind in (1, 4, 7) else chance.choice(deployment.tokens),
            on_disconnect=chat_pb2.ON_DISCONNECT_STOP if kind in (3, 4) else chat_pb2.ON_DISCONNECT_CONTINUE,
            asks_again=kind in (2, 5, 7),
            # Nothing tells a client that its server is paused: half of them lose patience, the others wait until it is awake.
            patience=1.0 if pause and number % 2 else None,
        )
        order = addresses if kind < 8 else addresses[::-1]
        made.append(Client(wish, order, random.Random(chance.random())))  # noqa: S311 - as above.
    return made


async def _killed(deployment: Deployment, clients: Sequence[Client], chance: random.Random) -> None:
    tasks = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.sleep(chance.uniform(0.02, 1.5))
    if chance.random() < _SHARE_OF_LOST_WRITES:
        async with deployment.ledger.lost_writes(deployment.first.name):
            await asyncio.sleep(chance.uniform(0.05, 0.3))
            deployment.first.kill()
    else:
        deployment.first.kill()
    deployment.first.start()
    await asyncio.gather(deployment.first.up(), *tasks)


async def _paused(
    deployment: Deployment, clients: Sequence[Client], chance: random.Random, figures: Figures
) -> None:
    first, ledger = deployment.first, deployment.ledger
    tasks = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.sleep(chance.uniform(0.1, 1.2))
    first.pause()
    try:
        before = {
            entry.generation_id: entry.owner_id
            for entry in await ledger.entries()
            if entry.state == "running"
        }
        # The lease, the time in which others see that it has run out, and some.
        await asyncio.sleep(deployment.lease_seconds + chance.uniform(1.5, 2.5))
        taken = [
            entry.generation_id
            for entry in await ledger.entries()
            if entry.state == "interrupted"
            and before.get(entry.generation_id, entry.owner_id) != entry.owner_id
        ]
        records = await ledger.records(taken)
    finally:
        first.wake()
    await asyncio.gather(*tasks)
    # It has been told by now that it was taken for dead; give late writes the time to do harm.
    await asyncio.sleep(0.5)
    after = await ledger.records(taken)
    figures.taken_over += len(taken)
    changed = [one for one in taken if records[one] != after.get(one)]
    figures.woken_writes += len(changed)
    figures.faults += [f"{one} was written after it had been taken over" for one in changed]


# -- what has to hold


@contextlib.asynccontextmanager
async def _watching(ledger: Ledger, figures: Figures) -> AsyncIterator[None]:
    """Look for generations that run past their lease, while the block runs."""

    async def look() -> None:
        while True:
            late = await ledger.late()
            figures.longest_late = max(figures.longest_late, *late.values(), 0.0)
            await asyncio.sleep(_POLL_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _hold_clients(
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


async def _settled(ledger: Ledger, figures: Figures) -> None:
    """Wait until nothing runs any more: answers that nobody watches go on to their end."""
    end = time.monotonic() + _SETTLE_SECONDS
    while running := [entry for entry in await ledger.entries() if entry.state == "running"]:
        if time.monotonic() > end:
            figures.faults += [f"{entry.generation_id} still runs" for entry in running]
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _hold_store(ledger: Ledger, figures: Figures) -> None:
    """Each generation has one usage event, and each request_id one generation that made anything."""
    entries, metered = await ledger.entries(), await ledger.metered()
    figures.generations = len(entries)
    figures.missing_events = sum(entry.event_id is None or not metered[entry.event_id] for entry in entries)
    owned = Counter(entry.event_id for entry in entries if entry.event_id is not None)
    figures.doubled_events = sum(count - 1 for count in (owned | metered).values() if count > 1) + sum(
        event_id not in owned for event_id in metered
    )
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
