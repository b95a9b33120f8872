"""What models cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.choices import chosen, did_you_mean
from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.durations import moment, word
from services.cli.money import dollars, nano_usd_of
from services.cli.output import as_dict, best, local_time, note, print_json, print_table
from services.cli.zones import local_zone, zone_of

if TYPE_CHECKING:
    from antiphon.analytics.v1 import analytics_pb2
    from antiphon.usage.v1 import usage_pb2

    from antiphon_client import Client

BEGINNING = "beginning"


class UnitName(StrEnum):
    """What is priced, as it is typed."""

    INPUT = "input"
    CACHED_INPUT = "cached-input"
    OUTPUT = "output"
    REASONING = "reasoning"
    IMAGE = "image"
    CHARACTERS = "characters"
    AUDIO_MINUTE = "audio-minute"
    AUDIO_HOUR = "audio-hour"


_MINUTES_AN_HOUR = 60
_OF_SPEECH = frozenset({UnitName.CHARACTERS, UnitName.AUDIO_MINUTE, UnitName.AUDIO_HOUR})
_OF_CHAT = frozenset({UnitName.INPUT, UnitName.CACHED_INPUT, UnitName.OUTPUT, UnitName.REASONING})


def prices(
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Those of one model.", show_default=False)
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Those that were and those to come, too.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List the prices that calls are costed with: those in force.

    \b
    Examples:
      antiphon prices
      antiphon prices --model gpt-4o --all
    """
    with calling(server, as_json) as client:
        now = datetime.now(UTC)
        found = list(client.list_prices(model=model, at=None if every else now, page_size=100))
        if as_json:
            print_json({"prices": [as_dict(price) for price in found]})
            return
        found.sort(
            key=lambda each: (each.model, each.unit, each.variant, -each.effective_time.ToNanoseconds())
        )
        states = _states(found, now) if every else ["in force"] * len(found)
        rows = [
            (price.model, price.variant, *_told(price), _since(price), state, _source(price.source))
            for price, state in zip(found, states, strict=True)
        ]
        headers = ("MODEL", "VARIANT", "PRICE", "FOR", "FROM", "STATE", "SET BY")
        print_table(headers, rows, "no prices are set: antiphon prices set MODEL UNIT USD")


def set_price(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="By the catalog's name.", show_default=False)],
    unit: Annotated[
        str,
        typer.Argument(
            metavar="UNIT",
            help="What is priced: input, cached-input, output, reasoning (a million tokens each), image, characters (a million), audio-hour, audio-minute.",
            show_default=False,
        ),
    ],
    usd: Annotated[
        str,
        typer.Argument(
            metavar="USD", help="An amount such as 2.50; none: it has no price.", show_default=False
        ),
    ],
    variant: Annotated[
        str,
        typer.Option(
            "--variant",
            metavar="VARIANT",
            help="Of one variant alone, such as 1024x1024.",
            show_default=False,
        ),
    ] = "",
    effective: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WHEN",
            help="From when on: 2026-12-01, today, yesterday, now, or beginning. By default from the beginning when it had no price yet, else from now on.",
            show_default=False,
        ),
    ] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Set what something costs (administrators). What was used since costs that, too.

    \b
    Examples:
      antiphon prices set gpt-4o input 2.50
      antiphon prices set flux image 0.04 --variant 1024x1024 --from 2026-12-01
      antiphon prices set tts-1 characters 15
    """
    with calling(server, as_json) as client:
        priced = chosen(unit, UnitName, "UNIT")
        nano_usd = nano_usd_of(usd)
        if nano_usd is not None and priced is UnitName.AUDIO_MINUTE:
            nano_usd *= _MINUTES_AN_HOUR
        since = None if effective is None else _moment(effective)
        price = client.set_price(model, _unit_of(priced), nano_usd, variant=variant, effective=since)
        if as_json:
            print_json(as_dict(price))
        else:
            _say(price)
        if priced in _OF_CHAT | _OF_SPEECH:
            _note_unknown(client, model, spoken=priced in _OF_SPEECH)


def _say(price: analytics_pb2.Price) -> None:
    amount, of = _told(price)
    named = f"{price.model} {price.variant}".strip()
    if price.HasField("nano_usd"):
        print(f"{named}: {amount} for {of}, from {_since(price)} on")
    else:
        print(f"{named}: {of} has no price from {_since(price)} on")


def _note_unknown(client: Client, model: str, *, spoken: bool) -> None:
    """Remarks that no model of that name is known: it may come, or be gone, and it may have been misspelt."""
    from antiphon_client import AntiphonError

    try:
        catalog = client.list_speech_models() if spoken else client.list_models()
        known = {each.name for each in catalog.models}
    except AntiphonError:
        # The catalog may be at another address, or not be for whoever sets prices.
        return
    if model not in known:
        note(f"(no model of the name {model} is known now. {did_you_mean(model, known)}".rstrip() + ")")


def _moment(text: str) -> datetime:
    typed = text.strip().lower()
    if typed == BEGINNING:
        return datetime.fromtimestamp(0, UTC)
    return word(typed, datetime.now(zone_of(local_zone()))) or moment(text, "--from")


def _unit_of(name: UnitName) -> usage_pb2.Unit:
    from antiphon.usage.v1 import usage_pb2

    units = {
        UnitName.INPUT: usage_pb2.UNIT_INPUT_TOKENS,
        UnitName.CACHED_INPUT: usage_pb2.UNIT_CACHED_INPUT_TOKENS,
        UnitName.OUTPUT: usage_pb2.UNIT_OUTPUT_TOKENS,
        UnitName.REASONING: usage_pb2.UNIT_REASONING_TOKENS,
        UnitName.IMAGE: usage_pb2.UNIT_IMAGES,
        UnitName.CHARACTERS: usage_pb2.UNIT_CHARACTERS,
        UnitName.AUDIO_MINUTE: usage_pb2.UNIT_AUDIO_MILLISECONDS,
        UnitName.AUDIO_HOUR: usage_pb2.UNIT_AUDIO_MILLISECONDS,
    }
    return units[name]


def _told(price: analytics_pb2.Price) -> tuple[str, str]:
    from services.cli.quantities import unit_told

    amount = dollars(price.nano_usd) if price.HasField("nano_usd") else best("–", "-")
    return amount, unit_told(price.unit)


def _since(price: analytics_pb2.Price) -> str:
    return local_time(price.effective_time) or "the beginning"


def _source(source: int) -> str:
    from antiphon.analytics.v1 import analytics_pb2

    names = {
        int(analytics_pb2.PRICE_SOURCE_CATALOG): "catalog",
        int(analytics_pb2.PRICE_SOURCE_ADMINISTRATOR): "administrator",
    }
    return names.get(source, "unknown")


def _states(found: Sequence[analytics_pb2.Price], now: datetime) -> list[str]:
    """Of prices of the same by the same, those that were set for later first."""
    states = []
    in_force: set[tuple[str, int, str]] = set()
    for price in found:
        of = (price.model, int(price.unit), price.variant)
        if price.effective_time.ToNanoseconds() > now.timestamp() * 1e9:
            states.append("to come")
        else:
            states.append("was" if of in in_force else "in force")
            in_force.add(of)
    return states
