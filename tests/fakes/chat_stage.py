"""The model behind a suite: an endpoint that says what a test wants, word by word on its cue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.fakes.chat_upstream import Exchange, Script, Upstream, event, stop, text, upstream, used

CLOSED = "http://127.0.0.1:9/v1"
"""An address that nobody listens on."""

MODELS = """
[providers.stage]
base_url = "{stage}"

[providers.locked]
base_url = "{stage}"
api_key_env = "KEY_THAT_NOBODY_HAS"

[providers.away]
base_url = "{closed}"

[[models]]
name = "scripted"
provider = "stage"
upstream = "scripted-1"
capabilities = ["tools", "json_schema"]

[[models]]
name = "narrow"
provider = "stage"
context_tokens = 64

[[models]]
name = "locked"
provider = "locked"
prices = {{ input = "2.50", output = "10" }}

[[models]]
name = "away"
provider = "away"
"""
"""The catalog, to be completed with `stage` and `closed`, two addresses."""


async def _usual(exchange: Exchange) -> None:
    await exchange.says(text("Bien"), text(", gracias."), stop(), used(7, 4))


class Stage:
    """The model behind the suite: an endpoint that plays what a test wants, a short answer when it wants nothing."""

    def __init__(self) -> None:
        self.script: Script = _usual
        self.exchanges: list[Exchange] = []
        self.upstream = Upstream()
        self._came = asyncio.Event()

    def play(self, script: Script) -> None:
        """Answer from now on with `script`."""
        self.script = script

    def clear(self) -> None:
        """Answer in the usual way again, and forget what was asked."""
        self.script = _usual
        self.exchanges.clear()

    async def asked(self, times: int = 1) -> None:
        """Wait until the model was asked so many times."""

        async with asyncio.timeout(5):
            while len(self.exchanges) < times:
                self._came.clear()
                await self._came.wait()

    async def answer(self, exchange: Exchange) -> None:
        """Play the script."""
        self.exchanges.append(exchange)
        self._came.set()
        await self.script(exchange)


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A stage that is open while the block runs."""
    made = Stage()
    async with upstream(made.answer) as made.upstream:
        yield made


class Cue:
    """An actor that says a word of its text when it is told to, and notices when nobody listens any more."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self._told = asyncio.Semaphore(0)
        self.gone = asyncio.Event()

    def next(self, count: int = 1) -> None:
        """Say so many words more."""
        for _ in range(count):
            self._told.release()

    async def play(self, exchange: Exchange) -> None:
        """The script. Behind the last word the answer ends, without another cue."""
        watch = asyncio.create_task(self._watch(exchange))
        try:
            await exchange.head()
            for word in self._words:
                await self._told.acquire()
                await exchange.chunk(event(text(word)))
            for last in (stop(), used(7, len(self._words))):
                await exchange.chunk(event(last))
            await exchange.chunk(b"data: [DONE]\n\n")
            await exchange.end()
        finally:
            watch.cancel()

    async def _watch(self, exchange: Exchange) -> None:
        await exchange.gone.wait()
        self.gone.set()
