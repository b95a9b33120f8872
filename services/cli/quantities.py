"""What was used, and what it costs, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from services.cli.money import dollars

if TYPE_CHECKING:
    from antiphon.chat.v1 import chat_pb2
    from antiphon.speech.v1 import speech_pb2
    from antiphon.usage.v1 import usage_pb2

_MILLION = 1_000_000
_MILLISECONDS_AN_HOUR = 3_600_000


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


def unit_told(unit: usage_pb2.Unit) -> str:
    """How much of a unit a price of Analytics is for, such as `a million input tokens`."""
    from antiphon.usage.v1 import usage_pb2

    named = {usage_pb2.UNIT_IMAGES: "an image", usage_pb2.UNIT_AUDIO_MILLISECONDS: "an hour of audio"}
    return named.get(unit, f"a million {unit_name(unit)}")


def priced_each(price: speech_pb2.ModelPrice) -> str:
    """A price of a catalog as Analytics tells it, such as `$0.90 an hour of audio`."""
    return f"{dollars(_told_nano_usd(price))} {unit_told(price.unit)}"


def priced_shortly(price: speech_pb2.ModelPrice) -> str:
    """The same beneath a header that says what it is for: `$15` for a million characters, `$0.90/h` for an hour of audio."""
    from antiphon.usage.v1 import usage_pb2

    per = "/h" if price.unit == usage_pb2.UNIT_AUDIO_MILLISECONDS else ""
    return f"{dollars(_told_nano_usd(price))}{per}"


def _told_nano_usd(price: speech_pb2.ModelPrice) -> int:
    from antiphon.usage.v1 import usage_pb2

    if price.unit == usage_pb2.UNIT_AUDIO_MILLISECONDS:
        return price.nano_usd_per_million * _MILLISECONDS_AN_HOUR // _MILLION
    return price.nano_usd_per_million


def priced(prices: Iterable[chat_pb2.ModelPrice]) -> str:
    """Prices in USD per million, such as `input $2.50, output $10`; empty when there are none."""
    return ", ".join(
        f"{unit_name(each.unit).removesuffix(' tokens')} {dollars(each.nano_usd_per_million)}"
        for each in prices
    )
