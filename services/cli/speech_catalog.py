"""Who can speak: voices, and the models that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.listing import without_silent
from services.cli.output import as_dict, print_json, print_table
from services.cli.quantities import priced_each

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


def voices(
    language: Annotated[
        str,
        typer.Option(
            "--language",
            "-l",
            metavar="TAG",
            help="Those that speak it: en finds en-GB as well.",
            show_default=False,
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

    For each of them: its default voice; how fast and how high it speaks, from least to most; how many characters a text has at most, and
    without a login; whether it takes SSML and tells when words are spoken; USD by the catalog.

    \b
    Example:
      antiphon speech models
    """
    with calling(server, as_json) as client:
        catalog = client.list_speech_models()
        if as_json:
            print_json(as_dict(catalog))
            return
        rows = [_row(model, is_default=model.name == catalog.default_model) for model in catalog.models]
        print_table(*without_silent(_MODEL_HEADERS, rows), "the catalog is empty")


def _row(model: speech_pb2.Model, *, is_default: bool) -> tuple[str, ...]:
    has = {"ssml": model.takes_ssml, "word times": model.gives_word_timings}
    return (
        f"{model.name}{' *' if is_default else ''}",
        "ready" if model.ready else "not ready",
        model.provider,
        model.default_voice,
        _range(model.minimum_speaking_rate, model.maximum_speaking_rate),
        _range(model.minimum_pitch, model.maximum_pitch),
        str(model.maximum_characters or ""),
        str(model.anonymous_maximum_characters or ""),
        ", ".join(name for name, is_there in has.items() if is_there),
        _prices(model),
        _about(model),
    )


def _range(least: float, most: float) -> str:
    return f"{least:g} to {most:g}" if least != most else ""


def _prices(model: speech_pb2.Model) -> str:
    # A unit that is free beside one that is not says nothing.
    asked = [price for price in model.prices if price.nano_usd_per_million] or model.prices[:1]
    return ", ".join(map(priced_each, asked))


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
