"""The voices of espeak-ng as those of this service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.speech.model import Gender, Voice

_LONGEST_LANGUAGE = 10
_MBROLA = "mb/"
# They look like regions and are none: Balearic, North-western and Valencian Catalan, Classic Russian.
_NO_REGIONS = frozenset({"ca-ba", "ca-nw", "ca-va", "ru-cl"})


@dataclass(frozen=True, slots=True)
class Entry:
    """What espeak-ng tells of a voice: its name for people, its first language, its file, and 1 for male, 2 for female."""

    name: str
    tag: str
    identifier: str
    gender: int


def has_words(data: Path, entry: Entry) -> bool:
    """Whether the dictionary of its language is in the folder of espeak-ng's data; a voice without one is silent, and nothing says so."""
    lines = (data / "lang" / entry.identifier).read_text("utf-8").splitlines()
    named = (line.split()[1] for line in lines if line.startswith("dictionary "))
    return (data / f"{next(named, entry.tag.partition('-')[0])}_dict").exists()


def voices_of(entries: Iterable[Entry], sample_rate: int) -> list[Voice]:
    """By language and name. A voice is called by its language; one whose language has a voice already is called by its file. MBROLA's are left
    out: their sounds are not there."""
    found: dict[str, Voice] = {}
    for entry in entries:
        if entry.identifier.startswith(_MBROLA):
            continue
        name = entry.tag.lower()
        if name in found:
            name = entry.identifier.rpartition("/")[2].lower()
        found[name] = Voice(
            name, entry.name.strip(), language_of(name), sample_rate, entry.identifier, Gender(entry.gender)
        )
    return sorted(found.values(), key=lambda voice: (voice.language, voice.name))


def language_of(tag: str) -> str:
    """Language, script and region of a tag in their usual letters (RFC 5646, 2.1.1), without variants and private ones."""
    language, *others = tag.split("-")
    kept = [language.lower()]
    for part in others if tag.lower() not in _NO_REGIONS else ():
        if len(part) == 4 and part.isalpha() and len(kept) == 1:
            kept.append(part.title())
        elif (len(part) == 2 and part.isalpha()) or (len(part) == 3 and part.isdigit()):
            kept.append(part.upper())
            break
        else:
            break
    while len("-".join(kept)) > _LONGEST_LANGUAGE:
        kept.pop()
    return "-".join(kept)
