"""A text that is spoken part by part: the next one is asked for while one is stitched to those before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
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

    `turns` are those of all models, and a call waits for its own at the model's provider as long as a part may take, `seconds`."""

    def __init__(self, studio: Studio, turns: Turns, model: str, provider: str, seconds: float) -> None:
        self._studio = studio
        self._turns = turns
        self._names = {"model": model, "provider": provider}
        self._seconds = seconds

    async def spoken(
        self, format_: Format, parts: Sequence[Segment], ask: Ask
    ) -> AsyncGenerator[Batch | Ending, None]:
        """The audio of the parts, in their order, as the port says; failures have the model's and the provider's names. Raises TooManyGenerations
        when the turn does not come."""
        try:
            async with (
                self._turns.turn(self._names["provider"], self._seconds),
                aclosing(_one_ahead(parts, ask)) as found,
            ):
                # A worker is taken when there is something for it to do.
                first = await anext(found, None)
                async with self._studio.stitching(format_) as stitching:
                    async for each in _stitched(stitching, first, found):
                        yield each
        except ProviderFailure as error:
            error.metadata = {**self._names, **error.metadata}
            raise
        except NoTurn:
            raise TooManyGenerations from None


Part = tuple[Segment, bytes]


async def _stitched(
    stitching: Stitching, first: Part | None, others: AsyncIterator[Part]
) -> AsyncIterator[Batch | Ending]:
    part = first
    while part is not None:
        added = stitching.add(part[1], part[0].pause, len(part[0].text))
        del part
        async with aclosing(added):  # type: ignore[type-var]
            async for batch in added:
                yield batch
        part = await anext(others, None)
    async with aclosing(stitching.end()) as last:  # type: ignore[type-var]
        async for each in last:
            yield each


async def _one_ahead(parts: Sequence[Segment], ask: Ask) -> AsyncGenerator[Part, None]:
    left = iter(parts)
    coming = _begun(left, ask)
    try:
        while coming is not None:
            found = await coming
            coming = _begun(left, ask)
            yield found
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])
            if not coming.cancelled():
                # Nobody else looks at it.
                coming.exception()


def _begun(left: Iterator[Segment], ask: Ask) -> asyncio.Task[Part] | None:
    part = next(left, None)
    return None if part is None else asyncio.create_task(_asked(part, ask))


async def _asked(part: Segment, ask: Ask) -> Part:
    return part, await ask(part)
