"""A text that is spoken part by part: the next one is asked for while one is stitched to those before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing

from services.capabilities.upstream.errors import ProviderFailure
from services.speech.model import Batch, Ending, Format, Segment
from services.speech.ports import Studio

Ask = Callable[[Segment], Awaitable[bytes]]
"""Has a part spoken: its audio, whole."""


class PartByPart:
    """What one model, called `model` in the catalog, speaks in parts, and a studio makes one file of. At most two parts of a text are held."""

    def __init__(self, studio: Studio, model: str, provider: str) -> None:
        self._studio = studio
        self._names = {"model": model, "provider": provider}

    async def spoken(
        self, format_: Format, parts: Sequence[Segment], ask: Ask
    ) -> AsyncGenerator[Batch | Ending, None]:
        """The audio of the parts, in their order, as the port says; failures have the model's and the provider's names."""
        try:
            # Nobody is asked for what could not be stitched.
            async with (
                self._studio.stitching(format_) as stitching,
                aclosing(_one_ahead(parts, ask)) as found,
            ):
                async for part, audio in found:
                    added = stitching.add(audio, part.pause, len(part.text))
                    async with aclosing(added):  # type: ignore[type-var]
                        async for batch in added:
                            yield batch
                async with aclosing(stitching.end()) as last:  # type: ignore[type-var]
                    async for each in last:
                        yield each
        except ProviderFailure as error:
            error.metadata = {**self._names, **error.metadata}
            raise


async def _one_ahead(parts: Sequence[Segment], ask: Ask) -> AsyncGenerator[tuple[Segment, bytes], None]:
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


def _begun(left: Iterator[Segment], ask: Ask) -> asyncio.Task[tuple[Segment, bytes]] | None:
    part = next(left, None)
    return None if part is None else asyncio.create_task(_asked(part, ask))


async def _asked(part: Segment, ask: Ask) -> tuple[Segment, bytes]:
    return part, await ask(part)
