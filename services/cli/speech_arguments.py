"""What is typed of speech and can't be right for any model: it is refused before anything is sent, by the contract's own rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import typer

from services.cli.output import flat
from services.cli.texts import is_text

if TYPE_CHECKING:
    from buf.validate import validate_pb2

_RANGES = "`antiphon speech models` shows each model's range."


def check_language(value: str) -> str:
    """A language tag, or nothing where none was given. Raises BadParameter."""
    if not value or not is_text(value):
        return value
    rule = _rules("language").string
    if len(value) > rule.max_len or not re.search(rule.pattern, value):
        raise typer.BadParameter(f"{flat(value) or 'a blank'} is no language tag such as es or en-GB.")
    return value


def rate_of(value: str | float) -> float:
    """A factor. Raises BadParameter; also for 0, which to the contract means that none was given."""
    return _number(value, "speaking_rate", f"is no rate: write a number such as 1.2; {_RANGES}", no_zero=True)


def pitch_of(value: str | float) -> float:
    """Semitones. Raises BadParameter."""
    return _number(value, "pitch", f"is no pitch: write a number such as -2; {_RANGES}")


def _number(value: str | float, field: str, refused: str, *, no_zero: bool = False) -> float:
    rule = _rules(field).double
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    # What is no number is in no range.
    if rule.gte <= number <= rule.lte and not (no_zero and number == 0):
        return number
    raise typer.BadParameter(f"{flat(str(value)) or 'a blank'} {refused}")


def _rules(field: str) -> validate_pb2.FieldRules:
    from antiphon.speech.v1 import speech_pb2
    from buf.validate import validate_pb2

    options = speech_pb2.SynthesizeRequest.DESCRIPTOR.fields_by_name[field].GetOptions()
    return cast("validate_pb2.FieldRules", options.Extensions[cast("Any", validate_pb2.field)])
