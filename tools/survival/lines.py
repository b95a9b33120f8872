"""A caller's line to the replicas, which goes on when one of them is gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

ATTEMPTS = 200
"""How often anything is tried."""

PAUSE_SECONDS = 0.2
"""What is between two attempts."""

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 300),
    # So that no more is on its way than was agreed on in the beginning.
    ("grpc.http2.bdp_probe", 0),
)
# What tells that a server is gone, or that it took another one for gone, so that trying again makes sense.
_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED}


class Line:
    """A way to each address. `faults` are the answers that nobody should get. `aclose` it at the end."""

    def __init__(
        self, stub: Callable[[grpc.aio.Channel], Any], addresses: Sequence[str], chance: random.Random
    ) -> None:
        self.faults: list[str] = []
        self._stub = stub
        self._addresses = addresses
        self._chance = chance
        self._channels: dict[str, grpc.aio.Channel] = {}

    def at(self, address: str) -> Any:
        """The service at an address."""
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, _OPTIONS)
        return self._stub(self._channels[address])

    def address(self, attempt: int) -> str:
        """Where to ask at an attempt, the first of which is 0: the first address, and then any."""
        return self._addresses[0] if not attempt else self._chance.choice(self._addresses)

    def failed(self, error: grpc.aio.AioRpcError) -> None:
        """An attempt came to nothing."""
        if error.code() not in _PASSING:
            self.faults.append(f"was told {error.code().name}: {error.details()}")

    async def until_told(self, ask: Callable[[Any], Awaitable[None]]) -> None:
        """Ask the service at any address until it answers."""
        for _ in range(ATTEMPTS):
            try:
                await ask(self.at(self._chance.choice(self._addresses)))
                return
            except grpc.aio.AioRpcError as error:
                self.failed(error)
                if self.faults:
                    return
            await asyncio.sleep(PAUSE_SECONDS)
        self.faults.append(f"no answer in {ATTEMPTS} attempts")

    async def deleted(self, delete: Callable[[Any], Awaitable[object]]) -> None:
        """Have something deleted."""
        tried = 0

        async def ask(service: Any) -> None:
            nonlocal tried
            tried += 1
            try:
                await delete(service)
            except grpc.aio.AioRpcError as error:
                # An attempt whose answer was lost may have removed it.
                if error.code() is not grpc.StatusCode.NOT_FOUND or tried == 1:
                    raise

        await self.until_told(ask)

    async def aclose(self) -> None:
        """Hang up."""
        for channel in self._channels.values():
            await channel.close()
