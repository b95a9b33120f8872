"""CountTokens: an estimate of what an input comes to, before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.chat.generation.tokens import error_percent, estimate_message_tokens
from services.chat.model import Message
from services.chat.ports import Catalog
from services.chat.usecases.context import message_tokens


@dataclass(frozen=True, slots=True)
class TokenCount:
    """An estimate for `model`, the one that would be asked. Of ten texts of the calibration, nine were estimated with at most
    `error_percent` of error."""

    model: str
    input_tokens: int
    error_percent: int


@dataclass(frozen=True, slots=True)
class CountTokens:
    """Estimates the tokens of an input, offline."""

    catalog: Catalog

    async def __call__(self, model: str, system_prompt: str, messages: Sequence[Message]) -> TokenCount:
        """The count for a model of the catalog, ready or not; an empty name is the default. Raises ModelNotFound."""
        found = self.catalog.known(model) if model else self.catalog.default
        tokens = estimate_message_tokens(system_prompt, found.family) if system_prompt else 0
        tokens += sum(message_tokens(message, found.family) for message in messages)
        return TokenCount(found.name, tokens, error_percent(found.family))
