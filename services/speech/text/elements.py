"""The elements and attributes of SSML that are taken (W3C SSML 1.1), and the manner of speaking that they mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from services.speech.text.quantities import (
    FARTHEST_SEMITONES,
    HIGHEST_RATE,
    LOWEST_RATE,
    break_seconds,
    decibels,
    factor,
    semitones,
)


class NotTaken(Exception):
    """Something that is not taken, in words for the caller."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a stretch of text is spoken, with all that surrounds it: `rate` is a factor, `pitch` in semitones, `volume` in decibels.
    `alias` is spoken in the place of the text."""

    rate: float = 1.0
    pitch: float = 0.0
    volume: float = 0.0
    emphasis: str = ""
    interpret_as: str = ""
    alias: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the text is spoken as one, and never cut."""
        return bool(self.alias or self.interpret_as)


_ROOT = ""
_INLINE = frozenset({"break", "prosody", "emphasis", "sub", "say-as"})
_INSIDE: Mapping[str, frozenset[str]] = {
    _ROOT: frozenset({"speak"}),
    "speak": _INLINE | {"p", "s"},
    "p": _INLINE | {"s"},
    "s": _INLINE,
    "prosody": _INLINE | {"p", "s"},
    "emphasis": _INLINE,
    "sub": frozenset(),
    "say-as": frozenset(),
    "break": frozenset(),
}
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "speak": ("version", "xmlns", "xml:lang"),
    "p": (),
    "s": (),
    "break": ("strength", "time"),
    "prosody": ("rate", "pitch", "volume"),
    "emphasis": ("level",),
    "sub": ("alias",),
    "say-as": ("interpret-as", "format"),
}
_ELEMENTS = ", ".join(_ATTRIBUTES)
_OUTSIDE = frozenset(
    {
        "audio",
        "lexicon",
        "lookup",
        "metadata",
        "meta",
        "src",
        "uri",
        "href",
        "xml:base",
        "xlink:href",
        "xsi:schemaLocation",
        "xi:include",
    }
)

_NAMESPACE = "http://www.w3.org/2001/10/synthesis"
_LEVELS = ("strong", "moderate", "none", "reduced")
_KINDS = ("characters", "spell-out", "cardinal", "ordinal", "digits", "date", "time", "telephone")
LANGUAGE = re.compile(r"[A-Za-z]{1,8}([-_][A-Za-z0-9]{1,8}){0,8}")
_FORMAT = re.compile(r"[A-Za-z0-9:./ -]{0,32}")
_LONGEST_ALIAS = 200
_MOST_ATTRIBUTES = 8
_SHOWN = 40


def check_element(name: str, parent: str) -> None:
    """Whether an element may stand in this one, or as the root in none, which is empty. Raises NotTaken."""
    if name in _OUTSIDE:
        raise NotTaken(f"<{name}> is not taken: nothing outside of the text is ever read")
    if name not in _ATTRIBUTES:
        raise NotTaken(f"the element {shown(name)} is not taken; the elements are {_ELEMENTS}")
    if name not in _INSIDE[parent]:
        if parent == _ROOT:
            raise NotTaken(f"the first element is <{name}>, and it has to be <speak>")
        inside = ", ".join(sorted(_INSIDE[parent])) or "no elements"
        raise NotTaken(f"<{name}> can't stand in <{parent}>, which takes {inside}")


def attributes_of(name: str, pairs: list[str]) -> dict[str, str]:
    """The attributes of an element, from names and values in turn. Raises NotTaken."""
    if len(pairs) > 2 * _MOST_ATTRIBUTES:
        raise NotTaken(f"<{name}> has more than {_MOST_ATTRIBUTES} attributes")
    attributes = dict(zip(pairs[::2], pairs[1::2], strict=True))
    allowed = _ATTRIBUTES[name]
    for each in attributes:
        if each in _OUTSIDE:
            raise NotTaken(f"the attribute {each} is not taken: nothing outside of the text is ever read")
        if each == "xml:lang":
            if name != "speak":
                raise NotTaken("xml:lang is taken in <speak> alone: one voice speaks the whole text")
        elif each not in allowed:
            takes = f"takes {', '.join(allowed)}" if allowed else "takes none"
            raise NotTaken(f"the attribute {shown(each)} is not taken; <{name}> {takes}")
    return attributes


def check_root(attributes: Mapping[str, str]) -> None:
    """`xml:lang` is for whoever chooses the voice, `ssml.language_of`. Raises NotTaken."""
    if attributes.get("xmlns", _NAMESPACE) != _NAMESPACE:
        raise NotTaken(f"the namespace is not that of SSML, {_NAMESPACE}")
    if (version := attributes.get("version", "1.1")) not in ("1.0", "1.1"):
        raise NotTaken(f"version {shown(version)} is not taken; the versions are 1.0 and 1.1")
    language = attributes.get("xml:lang", "en")
    if not LANGUAGE.fullmatch(language):
        raise NotTaken(f"xml:lang {shown(language)} is no language tag")


def pause_of(attributes: Mapping[str, str]) -> float:
    """Seconds of a break. Raises NotTaken."""
    try:
        return break_seconds(attributes.get("strength", "medium"), attributes.get("time"))
    except ValueError as error:
        raise NotTaken(f"<break>: {error}") from None


def manner_of(name: str, attributes: Mapping[str, str], outer: Manner) -> Manner:
    """The manner inside an element. Raises NotTaken."""
    change = _CHANGES.get(name)
    if change is None:
        return outer
    try:
        return change(attributes, outer)
    except ValueError as error:
        raise NotTaken(f"<{name}>: {error}") from None


def shown(text: str) -> str:
    """What a caller wrote, short enough to be told."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


# What is relative adds to what surrounds it; a name stands for itself.


def _prosody(attributes: Mapping[str, str], outer: Manner) -> Manner:
    inner = outer
    if (rate := attributes.get("rate")) is not None:
        value, is_name = factor(rate)
        value = value if is_name else value * outer.rate
        inner = replace(inner, rate=min(HIGHEST_RATE, max(LOWEST_RATE, value)))
    if (pitch := attributes.get("pitch")) is not None:
        value, is_name = semitones(pitch)
        value = value if is_name else value + outer.pitch
        inner = replace(inner, pitch=min(FARTHEST_SEMITONES, max(-FARTHEST_SEMITONES, value)))
    if (volume := attributes.get("volume")) is not None:
        value, is_name = decibels(volume)
        inner = replace(inner, volume=value if is_name or value == -math.inf else value + outer.volume)
    return inner


def _emphasis(attributes: Mapping[str, str], outer: Manner) -> Manner:
    level = attributes.get("level", "moderate")
    if level not in _LEVELS:
        raise ValueError(f"level {shown(level)} is not one of {', '.join(_LEVELS)}")
    return replace(outer, emphasis=level)


def _sub(attributes: Mapping[str, str], outer: Manner) -> Manner:
    alias = " ".join(attributes.get("alias", "").split())
    if not alias:
        raise ValueError("the attribute alias is missing or empty")
    if len(alias) > _LONGEST_ALIAS:
        raise ValueError(f"alias has {len(alias)} characters, and at most {_LONGEST_ALIAS} are taken")
    return replace(outer, alias=alias)


def _say_as(attributes: Mapping[str, str], outer: Manner) -> Manner:
    kind = attributes.get("interpret-as", "")
    if kind not in _KINDS:
        raise ValueError(f"interpret-as {shown(kind)} is not one of {', '.join(_KINDS)}")
    if not _FORMAT.fullmatch(attributes.get("format", "")):
        raise ValueError(f"format {shown(attributes['format'])} is none, such as mdy or hms12")
    return replace(outer, interpret_as=kind)


_CHANGES: Mapping[str, Callable[[Mapping[str, str], Manner], Manner]] = {
    "prosody": _prosody,
    "emphasis": _emphasis,
    "sub": _sub,
    "say-as": _say_as,
}
