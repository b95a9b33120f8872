"""A TCP proxy between a runner and the suite, which breaks the connection when a case says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_CHUNK = 64 * 1024


class Network:
    """Listens on a free port of the loopback interface and passes bytes on to `port`.

    `cut` ends what is connected, at once and in both directions; new connections are served. `down` also refuses new ones, until `up`.
    `hold` keeps back what the server sends, until `release`; what the client sends goes on. `flip` turns a bit of the next byte of the server.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._connected: set[asyncio.StreamWriter] = set()
        self._holding = False
        self._kept: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._passing: set[asyncio.Task[None]] = set()
        self._held = 0
        self._arrived = asyncio.Event()
        self._passed = 0
        self._gates: list[int] = []
        self._at_gate = False
        self._flipping = False
        self.port = 0

    @property
    def address(self) -> str:
        """Where a client finds it."""
        return f"127.0.0.1:{self.port}"

    async def held(self, size: int) -> None:
        """Waits until so many bytes of the server have arrived since `hold`, and are kept back."""
        while self._held < size:
            self._arrived.clear()
            await self._arrived.wait()

    async def passed(self, size: int) -> None:
        """Waits until so many bytes of the server have gone to the client from now on. No more follow until `go_on`."""
        gate = self._passed + size
        self._gates.append(gate)
        try:
            while self._passed < gate:
                self._arrived.clear()
                await self._arrived.wait()
        finally:
            self._gates.remove(gate)

    async def go_on(self) -> None:
        """Let go of what `passed` has kept back."""
        self._at_gate = False
        self._give_kept()

    async def up(self) -> None:
        """Serve, on the same port as before."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse, and end what is connected."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """End what is connected, as a cable does that is pulled: nothing of what is under way arrives any more."""
        for writer in list(self._connected):
            writer.transport.abort()
        self._connected.clear()

    async def hold(self) -> None:
        """Keep back what the server sends from now on."""
        self._held, self._holding = 0, True

    async def release(self) -> None:
        """Let go of what was kept back."""
        self._holding = False
        self._give_kept()

    async def flip(self) -> None:
        """Turn the lowest bit of the next byte that goes to the client."""
        self._flipping = True

    async def close(self) -> None:
        """End all of it."""
        await self.down()
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            await self._pass(reader, writer)
        except asyncio.CancelledError:
            # Only `close` cancels, and asyncio would complain of it.
            pass
        finally:
            self._passing.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = {writer}
        self._connected.add(writer)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            pair.add(to_server)
            if writer not in self._connected:  # It was cut meanwhile.
                return
            self._connected.add(to_server)
            await asyncio.gather(
                self._pump(reader, to_server, to_server.write),
                self._pump(from_server, writer, self._to_client(writer)),
            )
        except OSError:
            pass  # Nobody listens there.
        finally:
            self._connected -= pair
            for each in pair:
                each.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, give: Callable[[bytes], None]
    ) -> None:
        # One direction that ends ends the other, in the same way: HTTP/2 knows no half-closed connections.
        try:
            while chunk := await reader.read(_CHUNK):
                give(chunk)
                await writer.drain()
        except OSError:
            writer.transport.abort()
        else:
            writer.close()

    def _to_client(self, writer: asyncio.StreamWriter) -> Callable[[bytes], None]:
        return lambda chunk: self._give(writer, chunk)

    def _give_kept(self) -> None:
        kept, self._kept = self._kept, []
        for writer, chunk in kept:
            if not writer.transport.is_closing():
                self._give(writer, chunk)

    def _give(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        """To the client, as far as nothing keeps it back."""
        ahead = [gate - self._passed for gate in self._gates if gate > self._passed]
        room = 0 if self._holding or self._at_gate else min([len(chunk), *ahead])
        if passing := chunk[:room]:
            if self._flipping:
                self._flipping, passing = False, bytes([passing[0] ^ 1]) + passing[1:]
            writer.write(passing)
            self._passed += room
            self._at_gate = self._passed in self._gates
        if kept := chunk[room:]:
            self._kept.append((writer, kept))
            self._held += len(kept)
        self._arrived.set()
