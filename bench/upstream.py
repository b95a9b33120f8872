"""A model's endpoint that speaks to a script: OpenAI's chat completions, streamed. `python -m bench.upstream`.

`max_tokens` and `temperature` of the request say how many tokens, and after how many seconds each; 0 sends them all at once. Paced tokens
are the moment of their sending, in microseconds of the system's monotonic clock, so that whoever receives one on the same machine knows
how long it was under way. It knows no more of HTTP than its callers need, so that it is never what is slow.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import cast

import uvloop

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
BURST_TOKEN = "token "
# As much as a model's server may write at once when it is not held back by its model.
_BURST_TOKENS = 200


def _chunk(**fields: object) -> bytes:
    frame = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench"}
    return b"data: " + json.dumps({**frame, **fields}).encode() + b"\n\n"


_BEFORE, _AFTER = _chunk(choices=[{"index": 0, "delta": {"content": "@"}, "finish_reason": None}]).split(b"@")
_STOP = _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
_BURST = _BEFORE + BURST_TOKEN.encode() + _AFTER


def _written(block: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(block), block)


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, each answered before the next is looked at."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever is gone is answered no more."""
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        head, end, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self._received = bytearray(rest[length:])
        self._answering = asyncio.create_task(self._answer(json.loads(rest[:length])))

    async def _answer(self, asked: dict[str, float]) -> None:
        """Stream the tokens; the first comes after one interval, like the others."""
        assert self._transport is not None
        count, interval = int(asked["max_tokens"]), float(asked.get("temperature", 0))
        self._transport.write(_HEAD)
        if interval:
            await self._paced(count, interval)
        else:
            await self._at_once(count)
        usage = {"prompt_tokens": 10, "completion_tokens": count}
        end = _STOP + _chunk(choices=[], usage=usage) + b"data: [DONE]\n\n"
        self._transport.write(_written(end) + b"0\r\n\r\n")

    async def _paced(self, count: int, interval: float) -> None:
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(1, count + 1):
            await asyncio.sleep(began + number * interval - loop.time())
            self._transport.write(_written(_BEFORE + b"%x " % (time.monotonic_ns() // 1000) + _AFTER))

    async def _at_once(self, count: int) -> None:
        assert self._transport is not None
        while count > 0:
            await self._writable.wait()
            self._transport.write(_written(_BURST * min(count, _BURST_TOKENS)))
            count -= _BURST_TOKENS
            await asyncio.sleep(0)


async def main() -> None:
    """Serve on a free port, and tell which."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
