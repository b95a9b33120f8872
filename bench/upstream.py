"""A model's endpoint that speaks to a script: OpenAI's chat completions, streamed at an even pace. `python -m bench.upstream`.

Each token is the moment of its sending, in microseconds of the system's monotonic clock, so that whoever receives it on the same
machine knows how long it was under way. `max_tokens` and `temperature` of the request say how many, and after how many seconds each.
"""

from __future__ import annotations

import asyncio
import json
import time

import uvloop
from aiohttp import web

_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


def _chunk(**fields: object) -> bytes:
    frame = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench"}
    return b"data: " + json.dumps({**frame, **fields}).encode() + b"\n\n"


_BEFORE, _AFTER = _chunk(choices=[{"index": 0, "delta": {"content": "@"}, "finish_reason": None}]).split(b"@")
_STOP = _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])


async def answer(request: web.Request) -> web.StreamResponse:
    """Stream the tokens; the first comes after one interval, like the others."""
    asked = await request.json()
    count, interval = int(asked["max_tokens"]), float(asked["temperature"])
    response = web.StreamResponse(headers=_HEADERS)
    began = asyncio.get_running_loop().time()
    await response.prepare(request)
    for number in range(1, count + 1):
        await asyncio.sleep(began + number * interval - asyncio.get_running_loop().time())
        await response.write(_BEFORE + b"%x " % (time.monotonic_ns() // 1000) + _AFTER)
    usage = {"prompt_tokens": 10, "completion_tokens": count}
    await response.write(_STOP + _chunk(choices=[], usage=usage) + b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def main() -> None:
    """Serve on a free port, and tell which."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"ready {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
