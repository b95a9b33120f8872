"""Texts from outside, as arguments, lines and tokens: what is no text is refused here, before anything is done with it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import get_type_hints

import typer
from typer.models import ArgumentInfo

from services.cli.output import CommandFailed, flat, reporting

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_AUDIO_URL = re.compile(r"antiphon://speech/conversions/([^/]+)/audio")


def is_text(value: str) -> bool:
    """Whether it has a UTF-8 form. Bytes that have none come from the system as halves of surrogate pairs."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def no_text(what: str) -> CommandFailed:
    """The failure to be raised when `what` is no text."""
    return CommandFailed(f"{what} is no UTF-8 text", reason="INVALID_TEXT", code="INVALID_ARGUMENT", status=2)


def check_session_id(value: str) -> str:
    """The id of a chat session, or nothing where none was given. Raises BadParameter when it can't be one, before anything is sent."""
    return _checked_id(value, "a chat session", "antiphon chats list")


def check_image_id(value: str) -> str:
    """The id of an image. Raises BadParameter when it can't be one, before anything is sent."""
    return _checked_id(value, "an image", "antiphon image list")


def check_conversion_id(value: str) -> str:
    """The id of a conversion, alone or in its audio_url. Raises BadParameter when it can't be one, before anything is sent."""
    found = _AUDIO_URL.fullmatch(value)
    return _checked_id(found[1] if found else value, "a conversion", "antiphon speech list")


def _checked_id(value: str, thing: str, shown_by: str) -> str:
    if value and is_text(value) and not _UUID.fullmatch(value):
        raise typer.BadParameter(f"{flat(value)} is no id of {thing}; `{shown_by}` shows them.")
    return value


def with_texts(command: Callable[..., object]) -> Callable[..., object]:
    """The command, told nothing but texts: one that is none ends it, and is named. Paths are bytes by nature, and pass."""

    @functools.wraps(command)
    def checked(**values: object) -> object:
        with reporting(as_json=values.get("as_json") is True):
            for name, value in values.items():
                given = value if isinstance(value, list) else [value]
                if not all(is_text(each) for each in given if isinstance(each, str)):
                    raise no_text(_as_typed(command, name))
        return command(**values)

    return checked


def check_token(token: str, source: str) -> None:
    """Returns when this may be a token. Raises CommandFailed, which names its source and never the token."""
    if not (token.isascii() and token.isprintable()):
        raise CommandFailed(
            f"{source} is no token: it has other characters than printable ASCII",
            "Copy the whole token, and nothing around it.",
            reason="INVALID_TOKEN",
            code="INVALID_ARGUMENT",
            status=2,
        )


def _as_typed(command: Callable[..., object], parameter: str) -> str:
    hint = get_type_hints(command, include_extras=True).get(parameter)
    for info in getattr(hint, "__metadata__", ()):
        if isinstance(info, ArgumentInfo):
            return info.metavar or parameter
    return f"--{parameter.replace('_', '-')}"
