"""Names to addresses, each of them judged: the one answer that is judged is the one that is connected to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from services.infra.http.addresses import Address
from services.infra.http.failures import NotPublic

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
_THREADS = 8


class SystemNames:
    """What the system says of a name. It asks in a few threads of its own: names whose servers are silent hold up others of the same asker,
    and nobody else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="names")

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """All addresses of the host. Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
        )
        # Of link-local addresses the scope is a part.
        return [ip_address(str(entry[4][0])) for entry in found]

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class JudgedNames(AbstractResolver):
    """A resolver for aiohttp. A name with one address that may not be connected to is refused as a whole: whoever mixes them means no
    good."""

    def __init__(self, resolve: Resolve, allowed: Callable[[Address], bool]) -> None:
        self._resolve = resolve
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """As aiohttp asks. Raises NotPublic, and OSError for a name that there is not."""
        found = await self._resolve(host, port)
        if not found:
            raise OSError(None, "the name has no address")
        if not all(self._allowed(address) for address in found):
            raise NotPublic("the host is not public")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""
