"""Tags of languages (BCP 47), compared."""

from __future__ import annotations

# One language, several tags: ISO 639-3 beside ISO 639-1, macrolanguages, and tags that were replaced (IANA's registry of subtags).
_SAME = {"cmn": "zh", "nb": "no", "iw": "he", "in": "id", "ji": "yi", "tl": "fil"}
_LONGEST = 10


def canonical(tag: str) -> str:
    """In lower case, with hyphens, and one tag for each language."""
    first, dash, rest = tag.lower().replace("_", "-").partition("-")
    return _SAME.get(first, first) + dash + rest


def primary(tag: str) -> str:
    """The language alone."""
    return canonical(tag).partition("-")[0]


def speaks(tag: str, asked: str) -> bool:
    """Whether a voice of this tag speaks what was asked for: as it says, or more precisely (RFC 4647, basic filtering). The empty tag is of a
    voice that speaks many."""
    if not tag or not asked:
        return True
    voice, wish = canonical(tag), canonical(asked)
    return voice == wish or voice.startswith(f"{wish}-")


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
