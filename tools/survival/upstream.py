"""A model's endpoint that counts: OpenAI's chat completions, streamed at the pace that the request asks for.

The answer to `max_tokens` 3 is `1 2 3 `, so that whoever holds a piece of it knows which words are missing or doubled.
`temperature` is the pause before each word, in seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


def answer_of(words: int) -> str:
    """The whole answer of so many words."""
    return "".join(f"{number} " for number in range(1, words + 1))


class CountingUpstream:
    """The endpoint; `calls` are the requests that came, `open` the answers that are under way."""

    def __init__(self) -> None:
        self.url = ""
        self.calls = 0
        self.open = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Count, until the end or until nobody listens."""
        asked = await request.json()
        count, pause = int(asked["max_tokens"]), float(asked["temperature"])
        self.calls += 1
        self.open += 1
        try:
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            began = asyncio.get_running_loop().time()
            for number in range(1, count + 1):
                await asyncio.sleep(began + number * pause - asyncio.get_running_loop().time())
                await response.write(_chunk(choices=[_choice({"content": f"{number} "}, None)]))
            usage = {"prompt_tokens": 10, "completion_tokens": count}
            last = _chunk(choices=[_choice({}, "stop")]) + _chunk(choices=[], usage=usage)
            await response.write(last + b"data: [DONE]\n\n")
            await response.write_eof()
        except ConnectionError:
            return response
        finally:
            self.open -= 1
        return response


def _choice(delta: dict[str, str], finish_reason: str | None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _chunk(**fields: object) -> bytes:
    frame = {"id": "chatcmpl-count", "object": "chat.completion.chunk", "created": 0, "model": "count"}
    return b"data: " + json.dumps({**frame, **fields}).encode() + b"\n\n"


@asynccontextmanager
async def counting_upstream() -> AsyncIterator[CountingUpstream]:
    """The endpoint on a free port, while the block runs."""
    upstream = CountingUpstream()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield upstream
    finally:
        await runner.cleanup()
