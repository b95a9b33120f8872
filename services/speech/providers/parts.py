"""A text that is spoken part by part: the next one is asked for while one is stitched to those before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from services.capabilities.generations.errors import TooManyGenerations
from services.capabilities.upstream.errors import ProviderFailure
from services.capabilities.upstream.turns import NoTurn, Turns
from services.speech.model import Batch, Ending, Format, Segment
from services.speech.ports import Stitching, Studio

Ask = Callable[[Segment], Awaitable[bytes]]
"""Has a part spoken: its audio, whole."""


class PartByPart:
    """What one model, called `model` in the catalog, speaks in parts, and a studio makes one file of. At most two parts of a text are held.

    `turns` are those of all models, and a part waits for its own at the model's provider as long as one may take, `seconds`."""

    def __init__(self, studio: Studio, turns: Turns, model: str, provider: str, seconds: float) -> None:
        self._studio = studio
        self._turns = turns
        self._names = {"model": model, "provider": provider}
        self._seconds = seconds

    async def spoken(
        self, format_: Format, parts: Sequence[Segment], ask: Ask
    ) -> AsyncGenerator[Batch | Ending, None]:
        """The audio of the parts, in their order, as the port says; failures have the model's and the provider's names. Raises TooManyGenerations
        when a turn does not come."""
        ending: Ending | None = None
        try:
            async with aclosing(_OneAhead(parts, lambda part: self._asked(part, ask))) as found:
                # A worker is taken when there is something for it to do.
                await found.ready()
                async with (
                    self._studio.stitching(format_) as stitching,
                    aclosing(_stitched(stitching, found)) as made,
                ):
                    async for each in made:
                        if isinstance(each, Ending):
                            ending = each
                        else:
                            yield each
        except ProviderFailure as error:
            error.metadata = {**self._names, **error.metadata}
            raise
        except NoTurn:
            raise TooManyGenerations from None
        if ending is not None:
            # The worker has ended its job by now: whoever has read this does not read on.
            yield ending

    async def _asked(self, part: Segment, ask: Ask) -> bytes:
        """Calls take turns part by part, so that a long text keeps nobody from the provider."""
        async with self._turns.turn(self._names["provider"], self._seconds):
            return await ask(part)


async def _stitched(stitching: Stitching, parts: _OneAhead) -> AsyncGenerator[Batch | Ending, None]:
    while (part := await parts.next()) is not None:
        added = stitching.add(part[1], part[0].pause, len(part[0].text))
        # It is not held any longer than it takes to hand it over.
        del part
        async with aclosing(added):  # type: ignore[type-var]
            async for batch in added:
                yield batch
    async with aclosing(stitching.end()) as last:  # type: ignore[type-var]
        async for each in last:
            yield each


class _OneAhead:
    """Parts with their audio, in their order: while one is worked on, the next one is asked for. `aclose` it."""

    def __init__(self, parts: Sequence[Segment], ask: Ask) -> None:
        self._left = iter(parts)
        self._ask = ask
        self._coming = self._begun()

    async def ready(self) -> None:
        """The first part is there, or there is none. Raises what asking for it raises."""
        if self._coming is not None:
            await self._coming

    async def next(self) -> tuple[Segment, bytes] | None:
        """The next part; None when there are no more. Raises what asking for it raises."""
        coming = self._coming
        if coming is None:
            return None
        found = await coming
        self._coming = self._begun()
        return found

    async def aclose(self) -> None:
        """Give up the one that is coming."""
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])
            if not coming.cancelled():
                # Nobody else looks at it.
                coming.exception()

    def _begun(self) -> asyncio.Task[tuple[Segment, bytes]] | None:
        part = next(self._left, None)
        return None if part is None else asyncio.create_task(self._asked(part))

    async def _asked(self, part: Segment) -> tuple[Segment, bytes]:
        return part, await self._ask(part)
