"""The network of the conformance cases passes on, holds back, breaks connections and flips bits, when told to."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from conformance.driver.network import Network


@asynccontextmanager
async def echoing() -> AsyncIterator[Network]:
    """A network before a server that sends back what it is sent."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    network = Network(server.sockets[0].getsockname()[1])
    await network.up()
    try:
        yield network
    finally:
        await network.close()
        server.close()


async def test_a_network_passes_on_holds_back_and_cuts() -> None:
    async with echoing() as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        await network.hold()
        writer.write(b"two")
        await network.held(3)
        await network.release()
        assert await reader.readexactly(3) == b"two"
        await network.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_a_network_that_is_down_refuses_until_it_is_up() -> None:
    async with echoing() as network:
        await network.down()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", network.port)
        await network.up()
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        writer.close()


async def test_no_more_passes_than_was_asked_for_until_it_goes_on() -> None:
    async with echoing() as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        passed = asyncio.create_task(network.passed(4))
        await asyncio.sleep(0)
        writer.write(b"sixteen letters.")
        await passed
        assert await reader.readexactly(4) == b"sixt"
        await network.flip()
        await network.go_on()
        assert await reader.readexactly(12) == b"den letters."
        writer.close()


async def test_what_is_cut_after_so_many_bytes_does_not_go_on() -> None:
    async with echoing() as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        passed = asyncio.create_task(network.passed(4))
        await asyncio.sleep(0)
        writer.write(b"sixteen letters.")
        await passed
        assert await reader.readexactly(4) == b"sixt"
        await network.cut()
        await network.go_on()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_a_server_that_resets_a_connection_ends_that_of_the_client() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        # Closing sends a reset instead of an end.
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.close()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    network = Network(server.sockets[0].getsockname()[1])
    await network.up()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"one")
        async with asyncio.timeout(5):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()
    finally:
        await network.close()
        server.close()
