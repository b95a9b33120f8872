"""Rounds in which a server is taken away while clients stream."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from antiphon.chat.v1 import chat_pb2

from tools.survival.clients import Client, Wish
from tools.survival.holding import hold_clients, hold_store
from tools.survival.ledger import Ledger
from tools.survival.metering import hold_meter
from tools.survival.stage import Deployment, Figures

_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 20.0
_RELAY_SECONDS = 8.0
# A killed process's last statements are mostly carried out, and would hide that something was delivered before it was durable.
_SHARE_OF_LOST_WRITES = 0.85
# What is held up meanwhile, in turn, and for how many seconds: words on their way; an answer's end with its usage event, or the removal from
# the outbox of events that were delivered; a batch of events; what it adds up to; and figures. The relay looks twice a second.
_HELD_UP = (
    ("chat.generation_events", 0.05, 0.3),
    ("chat.outbox", 0.5, 1.2),
    ("analytics.events", 0.5, 1.2),
    ("analytics.unfolded", 0.5, 1.2),
    ("analytics.user_quarters", 0.1, 1.2),
)
# The first replica, the second, and both, one after the other: so whichever delivers usage events is killed as well.
_TURNS = 3
# How much longer nobody takes over when both are gone: until they have started and have seen that the leases are old.
_DARK_SECONDS = 15.0
_REFUSED_CALLERS = 2
_REFUSED_CALLS = 5
# How many words, and how many seconds before each: short and long, and some that take their time before the first one.
_PACES = ((1, 0.01), (4, 0.4), (20, 0.02), (80, 0.02), (160, 0.01), (240, 0.01))


async def survive(
    deployment: Deployment, rounds: int, clients: int, *, pause: bool, late_seconds: float, seed: int
) -> Figures:
    """Play the rounds, and hold what clients were given against the record."""
    figures, chance = Figures(), random.Random(seed)  # noqa: S311 - nothing secret is drawn.
    began, since = time.monotonic(), datetime.now(UTC)
    async with _watching(deployment.ledger, figures):
        for number in range(rounds):
            await _delivered(deployment.ledger)
            turned = deployment.turned() if number % _TURNS == 1 else deployment
            figures.is_dark = not pause and number % _TURNS == _TURNS - 1
            played = _clients(turned, clients, chance, pause=pause)
            async with _refused(turned, chance):
                if pause:
                    await _paused(turned, played, chance, figures)
                else:
                    await _killed(turned, played, chance, number, both=figures.is_dark)
            await hold_clients(turned, played, figures, number)
            figures.rounds += 1
        await _settled(deployment.ledger, figures)
    await hold_meter(deployment, figures, since, chance)
    await hold_store(deployment, figures)
    for longest, limit in (
        (figures.longest_late, late_seconds),
        (figures.longest_dark, late_seconds + _DARK_SECONDS),
    ):
        if longest > limit:
            figures.faults.append(f"a generation ran for {longest:.1f} s past its lease")
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


async def _killed(
    deployment: Deployment, clients: Sequence[Client], chance: random.Random, number: int, *, both: bool
) -> None:
    victims = [deployment.first, *([deployment.second] if both else [])]
    tasks = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.sleep(chance.uniform(0.02, 1.5))
    async with contextlib.AsyncExitStack() as held_up:
        if chance.random() < _SHARE_OF_LOST_WRITES:
            table, shortest, longest = _HELD_UP[number % len(_HELD_UP)]
            names = [victim.name for victim in victims]
            await held_up.enter_async_context(deployment.ledger.lost_writes(names, table))
            await asyncio.sleep(chance.uniform(shortest, longest))
        for victim in victims:
            victim.kill()
    for victim in victims:
        victim.start()
    await asyncio.gather(*(victim.up() for victim in victims), *tasks)


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


@contextlib.asynccontextmanager
async def _refused(deployment: Deployment, chance: random.Random) -> AsyncIterator[None]:
    """Have calls be refused at both replicas, while the block runs."""
    addresses = (deployment.first.address, deployment.second.address)
    async with asyncio.TaskGroup() as callers:
        for _ in range(_REFUSED_CALLERS):
            callers.create_task(
                deployment.refusals.call(
                    addresses,
                    chance.choice(deployment.tokens),
                    random.Random(chance.random()),  # noqa: S311 - as above.
                    _REFUSED_CALLS,
                    0.3,
                )
            )
        yield


@contextlib.asynccontextmanager
async def _watching(ledger: Ledger, figures: Figures) -> AsyncIterator[None]:
    """Look for generations that run past their lease, while the block runs."""

    async def look() -> None:
        while True:
            late = await ledger.late()
            longest = max(late.values(), default=0.0)
            if figures.is_dark:
                figures.longest_dark = max(figures.longest_dark, longest)
            else:
                figures.longest_late = max(figures.longest_late, longest)
            figures.meter.relays.add(await ledger.relayer())
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


async def _delivered(ledger: Ledger) -> None:
    """Wait until a relay is at work, as one is when nothing waits: a turn of one that was killed lasts for five seconds, in which a kill would say
    nothing of deliveries. Where none comes the round goes on without."""
    end = time.monotonic() + _RELAY_SECONDS
    while time.monotonic() < end:
        if not (await ledger.waiting()).event_ids:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _settled(ledger: Ledger, figures: Figures) -> None:
    """Wait until nothing runs any more: answers that nobody watches go on to their end."""
    end = time.monotonic() + _SETTLE_SECONDS
    while running := [entry for entry in await ledger.entries() if entry.state == "running"]:
        if time.monotonic() > end:
            figures.faults += [f"{entry.generation_id} still runs" for entry in running]
            return
        await asyncio.sleep(_POLL_SECONDS)
