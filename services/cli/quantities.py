"""What was used, and what it costs, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from services.cli.money import dollars

if TYPE_CHECKING:
    from antiphon.chat.v1 import chat_pb2
    from antiphon.usage.v1 import usage_pb2


def described(usage: usage_pb2.Usage) -> str:
    """A usage, such as `12 input tokens, 40 output tokens, estimated`."""
    from antiphon.usage.v1 import usage_pb2

    words = [f"{each.amount} {unit_name(each.unit)}" for each in usage.quantities]
    if usage.provenance == usage_pb2.PROVENANCE_ESTIMATED:
        words.append("estimated")
    return ", ".join(words)


def unit_name(unit: usage_pb2.Unit) -> str:
    """A unit, such as `input tokens`; its number where this command does not know it."""
    from antiphon.usage.v1 import usage_pb2

    if unit not in usage_pb2.Unit.values():
        return f"of unit {int(unit)}"
    return usage_pb2.Unit.Name(unit).removeprefix("UNIT_").replace("_", " ").lower()


def priced(prices: Iterable[chat_pb2.ModelPrice]) -> str:
    """Prices in USD per million, such as `input $2.50, output $10`; empty when there are none."""
    return ", ".join(
        f"{unit_name(each.unit).removesuffix(' tokens')} {dollars(each.nano_usd_per_million)}"
        for each in prices
    )
