"""Rounds in which serving processes are killed while callers have something made."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import psutil

from tools.survival.replicas import Replica

_POLL_SECONDS = 0.02
_SHARE_HELD_UP = 0.75
_LONGEST_WAIT, _LONGEST_HELD_UP = 1.5, 1.2
# Worker processes end when they find that their server is gone.
_ORPHAN_SECONDS = 10.0
# The first replica, the second, and both, one after the other.
_TURNS = 3

HoldUp = Callable[[Sequence[str], float], AbstractAsyncContextManager[None]]
"""Holds something up for so many seconds and while its block runs, in which the replicas of these names are killed."""


class Runs(Protocol):
    """A caller."""

    async def run(self) -> None:
        """All that it wants."""
        ...


def turn(replicas: tuple[Replica, Replica], number: int) -> tuple[Sequence[Replica], tuple[str, str]]:
    """Which replicas are killed in the round of this number, and the addresses of both, one that is killed first."""
    first, second = replicas if number % _TURNS != 1 else replicas[::-1]
    victims = replicas if number % _TURNS == _TURNS - 1 else (first,)
    return victims, (first.address, second.address)


async def killed(
    victims: Sequence[Replica], callers: Sequence[Runs], hold_up: HoldUp, chance: random.Random
) -> list[str]:
    """Kill the victims at a moment when the callers wait for what they want, and start them again. Returns which of their worker processes did
    not end with them."""
    async with asyncio.TaskGroup() as tasks:
        for caller in callers:
            tasks.create_task(caller.run())
        await asyncio.sleep(chance.uniform(0.02, _LONGEST_WAIT))
        async with contextlib.AsyncExitStack() as held_up:
            if chance.random() < _SHARE_HELD_UP:
                names = [victim.name for victim in victims]
                await held_up.enter_async_context(hold_up(names, chance.uniform(0.1, _LONGEST_HELD_UP)))
            workers = [child for victim in victims for child in _children(victim)]
            for victim in victims:
                victim.kill()
        await started(victims)
        return await _orphans(workers)


async def started(replicas: Sequence[Replica]) -> None:
    """Start them, and wait until they serve. Raises ReplicaFailed."""
    for replica in replicas:
        replica.start()
    for replica in replicas:
        await replica.up()


async def restarted(replicas: Sequence[Replica]) -> None:
    """Kill all of them, and start them once more. Raises ReplicaFailed."""
    for replica in replicas:
        replica.kill()
    await started(replicas)


def _children(replica: Replica) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(replica.pid).children(recursive=True)
    return []


async def _orphans(workers: Sequence[psutil.Process]) -> list[str]:
    end = time.monotonic() + _ORPHAN_SECONDS
    while left := [worker for worker in workers if _lives(worker)]:
        if time.monotonic() > end:
            return [f"the worker process {worker.pid} outlived its server" for worker in left]
        await asyncio.sleep(_POLL_SECONDS)
    return []


def _lives(worker: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
    return False
