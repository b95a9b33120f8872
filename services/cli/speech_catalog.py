"""Who can speak: voices, and the models that they belong to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.listing import without_silent
from services.cli.output import as_dict, best, print_json, print_table
from services.cli.quantities import priced_each, priced_shortly
from services.cli.speech_arguments import check_language

if TYPE_CHECKING:
    from antiphon.speech.v1 import speech_pb2

_VOICE_HEADERS = ("VOICE", "LANGUAGE", "MODEL", "PROVIDER", "GENDER", "HERTZ", "NAME")
_MODEL_HEADERS = (
    "MODEL",
    "STATE",
    "PROVIDER",
    "VOICE",
    "RATE",
    "PITCH",
    "CHARACTERS",
    "ANONYMOUS",
    "HAS",
    "USD",
    "ABOUT",
)
_SHORT_MODEL_HEADERS = (
    "MODEL",
    "STATE",
    "VOICE",
    "RATE",
    "PITCH",
    "CHARACTERS",
    "SSML",
    "USD/MILLION",
    "ABOUT",
)


def voices(
    language: Annotated[
        str,
        typer.Option(
            "--language",
            "-l",
            metavar="TAG",
            help="Those that speak it: en finds en-GB as well.",
            show_default=False,
            callback=check_language,
        ),
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Those of one model.", show_default=False)
    ] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List the voices of the models that are ready, those of the default model first.

    One without a language speaks many.

    \b
    Example:
      antiphon speech voices -l es
    """
    with calling(server, as_json) as client:
        found = client.list_voices(language=language, model=model)
        if as_json:
            print_json({"voices": [as_dict(voice) for voice in found]})
            return
        rows = [
            (
                voice.name,
                voice.language,
                voice.model,
                voice.provider,
                _gender(voice.gender),
                str(voice.sample_rate_hertz or ""),
                voice.display_name,
            )
            for voice in found
        ]
        wanted = f" that speaks {language}" if language else ""
        print_table(*without_silent(_VOICE_HEADERS, rows), f"there is no voice{wanted}")


def speech_models(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """List the models that speak, which are ready, and why others are not. The default one has a star.

    For each of them: its default voice; how fast and how high it speaks, from least to most; how many characters a text has at most, in
    parentheses without a login; whether it takes SSML; USD for a million characters, or for an hour of audio (/h), by the catalog.

    \b
    Example:
      antiphon speech models
    """
    with calling(server, as_json) as client:
        catalog = client.list_speech_models()
        if as_json:
            print_json(as_dict(catalog))
            return
        # All that a pipe is told has no room on a terminal.
        headers, row = (
            (_SHORT_MODEL_HEADERS, _short_row) if sys.stdout.isatty() else (_MODEL_HEADERS, _whole_row)
        )
        rows = [(_name(model, catalog.default_model), *row(model)) for model in catalog.models]
        print_table(*without_silent(headers, rows), "the catalog is empty")


def _name(model: speech_pb2.Model, default_model: str) -> str:
    return f"{model.name}{' *' if model.name == default_model else ''}"


def _whole_row(model: speech_pb2.Model) -> tuple[str, ...]:
    has = {"ssml": model.takes_ssml, "word times": model.gives_word_timings}
    return (
        _state(model),
        model.provider,
        model.default_voice,
        _range(model.minimum_speaking_rate, model.maximum_speaking_rate, " to "),
        _range(model.minimum_pitch, model.maximum_pitch, " to "),
        str(model.maximum_characters or ""),
        str(model.anonymous_maximum_characters or ""),
        ", ".join(name for name, is_there in has.items() if is_there),
        ", ".join(map(priced_each, _prices(model))),
        _about(model),
    )


def _short_row(model: speech_pb2.Model) -> tuple[str, ...]:
    to = best("…", "..")
    anonymous = f" ({model.anonymous_maximum_characters})" if model.anonymous_maximum_characters else ""
    return (
        _state(model),
        model.default_voice,
        _range(model.minimum_speaking_rate, model.maximum_speaking_rate, to),
        _range(model.minimum_pitch, model.maximum_pitch, to),
        f"{model.maximum_characters}{anonymous}" if model.maximum_characters else "",
        "yes" if model.takes_ssml else "",
        ", ".join(map(priced_shortly, _prices(model))),
        _about(model),
    )


def _state(model: speech_pb2.Model) -> str:
    return "ready" if model.ready else "not ready"


def _range(least: float, most: float, to: str) -> str:
    return f"{least:g}{to}{most:g}" if least != most else ""


def _prices(model: speech_pb2.Model) -> Sequence[speech_pb2.ModelPrice]:
    # A unit that is free beside one that is not says nothing.
    return [price for price in model.prices if price.nano_usd_per_million] or model.prices[:1]


def _about(model: speech_pb2.Model) -> str:
    about: str = model.description or model.display_name
    if model.ready:
        return about
    # What the model is, too: whether it is worth it, who is to set something wants to know.
    return ". ".join(filter(None, (model.not_ready_reason, model.description)))


def _gender(gender: speech_pb2.VoiceGender) -> str:
    from antiphon.speech.v1 import speech_pb2

    names = {
        speech_pb2.VOICE_GENDER_MALE: "male",
        speech_pb2.VOICE_GENDER_FEMALE: "female",
        speech_pb2.VOICE_GENDER_NEUTRAL: "neutral",
    }
    return names.get(gender, "")
