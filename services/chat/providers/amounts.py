"""What the prices of the catalog's file are for, in its words."""

from __future__ import annotations

from services.capabilities.metering.model import Unit

PRICED = {
    "input": Unit.INPUT_TOKENS,
    "output": Unit.OUTPUT_TOKENS,
    "cached_input": Unit.CACHED_INPUT_TOKENS,
    "reasoning": Unit.REASONING_TOKENS,
}
