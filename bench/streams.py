"""The same load of streamed answers on the upstream itself and on StreamChat: who waited how long for what."""

from __future__ import annotations

import asyncio
import random
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from bench.processes import BenchmarkFailed
from bench.stage import MODEL, Suite

TOKENS_PER_SECOND = 20
_INTERVAL = 1 / TOKENS_PER_SECOND
# Beyond its tokens' own time, what a turn may take before the next one of the same stream is due.
_BETWEEN_TURNS = 0.1
_CALL_SECONDS = 120.0
_STAMP = re.compile(rb'"content": ?"([0-9a-f]+) "')


@dataclass(frozen=True, slots=True)
class Load:
    """`streams` side by side, each of `turns` answers of `tokens`, begun at even pace from a random moment on.

    Of each stream the first and the last answer are left out of the count: not all streams are at work then.
    """

    streams: int
    turns: int
    tokens: int

    @property
    def answers(self) -> int:
        """How many answers count."""
        return self.streams * (self.turns - 2)

    @property
    def offered(self) -> int:
        """How many tokens the upstream sends in them."""
        return self.answers * self.tokens

    @property
    def period(self) -> float:
        """Seconds from the beginning of one answer to that of the next in the same stream."""
        return self.tokens * _INTERVAL + _BETWEEN_TURNS

    @property
    def seconds(self) -> float:
        """How long it takes, from the first call to the last token."""
        return (self.turns + 1) * self.period


@dataclass(slots=True)
class Seen:
    """What the client saw, in seconds: from each call to its first token, and how long each token was under way."""

    first_token: list[float] = field(default_factory=list)
    under_way: list[float] = field(default_factory=list)


class Target(Protocol):
    """Who is asked."""

    async def answer(self, tokens: int, seen: Seen) -> None:
        """Ask for an answer and read it to its end."""
        ...


async def play(target: Target, load: Load, seed: int) -> Seen:
    """Put the load on the target. The same seed begins the answers at the same moments. Raises BenchmarkFailed when tokens are missing."""
    seen, chance = Seen(), random.Random(seed)
    period = load.period
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def stream(offset: float) -> None:
        for turn in range(load.turns):
            await asyncio.sleep(began + offset + turn * period - loop.time())
            await target.answer(load.tokens, seen if 0 < turn < load.turns - 1 else Seen())

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(load.streams):
                group.create_task(stream(chance.random() * period))
    except* BenchmarkFailed as failures:
        raise BenchmarkFailed(str(failures.exceptions[0])) from None
    if len(seen.under_way) != load.offered:
        raise BenchmarkFailed(f"{load.offered} tokens were sent, and {len(seen.under_way)} came")
    return seen


class _Stamps:
    """Notes the tokens of one answer."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._began: float | None = time.monotonic()

    def note(self, stamps: list[bytes] | list[str]) -> None:
        """These tokens have come just now."""
        now = time.monotonic()
        if self._began is not None:
            self._seen.first_token.append(now - self._began)
            self._began = None
        self._seen.under_way += [now - int(stamp, 16) / 1e6 for stamp in stamps]


class Direct:
    """The upstream itself."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/chat/completions"

    async def answer(self, tokens: int, seen: Seen) -> None:
        """See `Target`."""
        stamps, rest = _Stamps(seen), b""
        asked = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "How long is now?"}],
            "max_tokens": tokens,
            "temperature": _INTERVAL,
            "stream": True,
        }
        async with self._session.post(self._url, json=asked) as response:
            async for block in response.content.iter_any():
                whole, end, rest = (rest + block).rpartition(b"\n\n")
                found = _STAMP.findall(whole + end)
                if found:
                    stamps.note(found)


class Streamed:
    """StreamChat of a suite, by somebody who is logged in, each call in a new session and safe to be repeated."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._stub: chat_pb2_grpc.ChatServiceAsyncStub = chat_pb2_grpc.ChatServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    async def answer(self, tokens: int, seen: Seen) -> None:
        """See `Target`."""
        stamps = _Stamps(seen)
        request = chat_pb2.StreamChatRequest(
            request_id=str(uuid.uuid4()),
            model=MODEL,
            message="How long is now?",
            parameters=chat_pb2.Parameters(max_output_tokens=tokens, temperature=_INTERVAL),
        )
        call = self._stub.StreamChat(request, metadata=self._metadata, timeout=_CALL_SECONDS)
        try:
            async for response in call:
                text = response.event.text_delta.text
                if text:
                    stamps.note(text.split())
        except grpc.aio.AioRpcError as error:
            raise BenchmarkFailed(f"StreamChat failed: {error.code().name}, {error.details()}") from None


@asynccontextmanager
async def direct(url: str) -> AsyncIterator[Direct]:
    """The upstream, with connections that stay open."""
    timeout = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        yield Direct(session, url)


@asynccontextmanager
async def streamed(suite: Suite, token: str) -> AsyncIterator[Streamed]:
    """A suite, on one connection."""
    async with grpc.aio.insecure_channel(suite.address) as channel:
        yield Streamed(channel, token)
