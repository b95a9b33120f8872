"""Tags of languages (BCP 47), compared."""

from __future__ import annotations

from typing import NamedTuple

# One language, several tags: ISO 639-3 beside ISO 639-1, macrolanguages, and tags that were replaced (IANA's registry of subtags).
_SAME = {"cmn": "zh", "nb": "no", "iw": "he", "in": "id", "ji": "yi", "tl": "fil"}
# Languages that are written as parts of another one: extended language subtags (RFC 5646, 2.2.2).
_PARTS = {"zh-yue": "yue", "zh-cmn": "zh"}
# Where most of those live who speak a language (CLDR, likely subtags), as far as there are voices of several regions.
_LIKELY = {"en": "us", "es": "es", "fr": "fr", "hy": "am", "nl": "nl", "pt": "br", "vi": "vn", "zh": "cn"}
# Spanish of the Americas (UN M.49, 419).
_LATIN_AMERICA = frozenset("ar bo br bz cl co cr cu do ec gt hn mx ni pa pe pr py sv us uy ve".split())  # noqa: SIM905 - a list of 22 lines says no more.
_LONGEST = 10
_SCRIPT = 4


def canonical(tag: str) -> str:
    """In lower case, with hyphens, and one tag for each language."""
    lower = tag.lower().replace("_", "-")
    for part, own in _PARTS.items():
        if lower == part or lower.startswith(f"{part}-"):
            return own + lower[len(part) :]
    first, dash, rest = lower.partition("-")
    return _SAME.get(first, first) + dash + rest


def speaks(tag: str, asked: str) -> bool:
    """Whether a voice of this tag speaks what was asked for: as it says, or more precisely (RFC 4647, basic filtering). The empty tag is of a
    voice that speaks many."""
    if not tag or not asked:
        return True
    voice, wish = canonical(tag), canonical(asked)
    return voice == wish or voice.startswith(f"{wish}-")


def distance(tag: str, asked: str) -> int | None:
    """How far a voice of this tag is from what was asked for, the less the better; None when it speaks another language."""
    if not tag:
        return 10
    voice, wish = _taken_apart(tag), _taken_apart(asked)
    if voice.language != wish.language:
        return None
    if voice == wish:
        return 0
    # Another script is farther than any place, and so is one that nobody has asked for: it is not the usual one.
    script = 5 if voice.script and voice.script != wish.script else 0
    return script + _between(voice.region, wish.region, _LIKELY.get(voice.language, ""))


class _Tag(NamedTuple):
    language: str
    script: str
    region: str


def _taken_apart(tag: str) -> _Tag:
    language, *rest = canonical(tag).split("-")
    script = next((part for part in rest if len(part) == _SCRIPT), "")
    region = next((part for part in rest if len(part) in (2, 3) and (len(part) == 2 or part.isdigit())), "")
    # Cantonese is spoken in Hong Kong, in whatever script that is written.
    return _Tag("yue", "", "") if (language, region) == ("zh", "hk") else _Tag(language, script, region)


def _between(region: str, wish: str, likely: str) -> int:
    if region == wish:
        return 1
    if wish in _LATIN_AMERICA and (region == "419" or region in _LATIN_AMERICA):
        return 1 if region == "419" else 2
    if wish == "419" and region in _LATIN_AMERICA:
        return 1
    if not region:
        return 2
    return 3 if region == likely else 4


def shortened(tag: str) -> str:
    """As much of a tag as 10 characters hold, by whole subtags, in the usual case."""
    first, *rest = tag.replace("_", "-").split("-")
    parts = [first.lower(), *map(_cased, rest)]
    while len("-".join(parts)) > _LONGEST:
        parts.pop()
    return "-".join(parts)


def _cased(subtag: str) -> str:
    match len(subtag):
        case 2:
            return subtag.upper()
        case 4 if subtag.isalpha():
            return subtag.title()
        case _:
            return subtag.lower()
