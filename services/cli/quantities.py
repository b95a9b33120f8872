"""What was used, and what it costs, in words."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.chat.v1 import chat_pb2
    from antiphon.usage.v1 import usage_pb2

NANO = Decimal(10) ** 9


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
        f"{unit_name(each.unit).removesuffix(' tokens')} ${_dollars(each.nano_usd_per_million)}"
        for each in prices
    )


def _dollars(nano_usd: int) -> str:
    exact = Decimal(nano_usd) / NANO
    if exact == exact.to_integral():
        return f"{exact:.0f}"
    cents = exact.quantize(Decimal("0.01"))
    return str(cents) if cents == exact else f"{exact.normalize():f}"
