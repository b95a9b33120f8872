"""P1: a unary call through the runtime against a bare grpc.aio server, and against FastAPI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import jwt
from antiphon.chat.v1 import chat_pb2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.fastapi_environment import FastApiMissing, fastapi_python
from bench.figures import Goal, Result, middle
from bench.machine import Cores
from bench.processes import ROOT, BenchmarkFailed, Process, module, running
from bench.stage import work_folder
from bench.unary_servers import ALGORITHM, ISSUER, SERVICE

TO_BARE = Goal("P1", "unary call against a bare grpc.aio echo", 0.90)
TO_FASTAPI = Goal("P1", "the same against FastAPI with a JWT dependency", 1.0)
_CALLERS = 64
_WARM_SECONDS = 1.0
_SESSION = "0193a1b2-0000-7000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds, and seconds of each server's turn in a round."""

    rounds: int
    seconds: float


SHORT = Extent(rounds=3, seconds=1.5)
FULL = Extent(rounds=7, seconds=4.0)


class Caller(Protocol):
    """Calls a server from many tasks at once."""

    async def call_until(self, end: float) -> int:
        """Call, one call after the other, until `end` in the loop's time; how many were answered. Raises BenchmarkFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A server and those who call it, side by side."""

    process: Process
    callers: list[Caller]

    async def calls_per_second(self, seconds: float) -> tuple[float, float]:
        """Calls answered in a second, and in a second of processor time of the server."""
        loop = asyncio.get_running_loop()
        used, began = self.process.cpu_seconds(), time.monotonic()
        counts = await asyncio.gather(*(caller.call_until(loop.time() + seconds) for caller in self.callers))
        taken, used = time.monotonic() - began, self.process.cpu_seconds() - used
        return sum(counts) / taken, sum(counts) / used


async def measure(cores: Cores, extent: Extent, say: Callable[[str], None]) -> list[Result]:
    """Call all servers in turn, round after round."""
    async with _servers(cores, say) as (servers, missing):
        for server in servers.values():
            await server.calls_per_second(_WARM_SECONDS)
        rounds = [await _round(servers, number, extent.seconds) for number in range(extent.rounds)]
    ratios = {
        name: [one["runtime"][1] / one[name][1] for one in rounds] for name in servers if name != "runtime"
    }
    figures = "; ".join(
        f"{name} {middle([one[name][0] for one in rounds]):,.0f} calls/s, "
        f"{1e6 / middle([one[name][1] for one in rounds]):.0f} µs of processor time each"
        for name in servers
    )
    return [
        Result(TO_BARE, ratios["bare"], f"calls by processor time; {figures}"),
        Result(TO_FASTAPI, ratios.get("fastapi", []), missing),
    ]


async def _round(
    servers: Mapping[str, Server], number: int, seconds: float
) -> dict[str, tuple[float, float]]:
    names = list(servers)
    shift = number % len(names)
    return {name: await servers[name].calls_per_second(seconds) for name in names[shift:] + names[:shift]}


@asynccontextmanager
async def _servers(cores: Cores, say: Callable[[str], None]) -> AsyncIterator[tuple[dict[str, Server], str]]:
    """The servers by name, and why one is missing."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(work_folder()))
        pem, token = _credentials(folder)
        servers, missing = {}, ""
        for name in ("bare", "runtime"):
            command = module("bench.unary_servers", name, str(pem))
            process = await stack.enter_async_context(running(name, command, folder, cores.server))
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{await process.said(r'ready (.*)')}")
            await stack.enter_async_context(channel)
            servers[name] = Server(process, [_GrpcCaller(channel, token) for _ in range(_CALLERS)])
        try:
            python = await asyncio.to_thread(fastapi_python, say)
        except FastApiMissing as error:
            missing = str(error)
        else:
            command = [str(python), str(ROOT / "bench" / "fastapi_server.py"), str(pem)]
            process = await stack.enter_async_context(running("fastapi", command, folder, cores.server))
            port = int(await process.said(r"ready (\d+)"))
            callers = [await stack.enter_async_context(_http_caller(port, token)) for _ in range(_CALLERS)]
            servers["fastapi"] = Server(process, callers)
        yield servers, missing


def _credentials(folder: Path) -> tuple[Path, str]:
    """The file of a public key, and a token signed with its private one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = folder / "public.pem"
    pem.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "ana", "iat": now, "exp": now + 3600}
    return pem, jwt.encode(claims, key, algorithm=ALGORITHM)


class _GrpcCaller:
    """Messages go out and come in as bytes, so that the server is what is slow."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/GetSession"
        )
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._request = chat_pb2.GetSessionRequest(session_id=_SESSION).SerializeToString()

    async def call_until(self, end: float) -> int:
        """See `Caller`."""
        loop, count = asyncio.get_running_loop(), 0
        while loop.time() < end:
            try:
                await self._call(self._request, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                raise BenchmarkFailed(f"GetSession failed: {error.code().name}, {error.details()}") from None
            count += 1
        return count


class _HttpCaller:
    """A connection that stays open, with as little HTTP as this one call needs."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, token: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._request = (
            f"GET /v1/sessions/{_SESSION} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()

    async def call_until(self, end: float) -> int:
        """See `Caller`."""
        loop, count = asyncio.get_running_loop(), 0
        while loop.time() < end:
            self._writer.write(self._request)
            try:
                head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
                if not head.startswith(b"http/1.1 200"):
                    raise BenchmarkFailed(f"FastAPI refused the call: {head[:60]!r}")
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await self._reader.readexactly(int(length))
            except (OSError, asyncio.IncompleteReadError) as error:
                raise BenchmarkFailed(f"FastAPI did not answer: {error}") from None
            count += 1
        return count


@asynccontextmanager
async def _http_caller(port: int, token: str) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield _HttpCaller(reader, writer, port, token)
    finally:
        writer.close()
