"""Images without a model: patterns, drawn by this deployment itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.image.ports import Codecs, ProviderCall, ProviderImage


class ProceduralImages:
    """Patterns from the prompt and the seed, always the same for the same. One is drawn after the other, so that a call for many does not
    fill the queue that others wait in, too."""

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs

    async def generate(self, call: ProviderCall) -> AsyncIterator[ProviderImage]:
        """As the port says; raises CodecsOverloaded and Unavailable."""
        first = call.seed or 0
        for index in range(call.count):
            yield ProviderImage(await self._codecs.draw(call.prompt, call.size, call.style, first + index))
