"""The objects of a conversion: their keys, which are part of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from services.speech.model import Conversion, Format, Removal

AUDIO_URL = "antiphon://speech/conversions/{conversion_id}/audio"
"""The stable reference of a conversion's audio, which is no link."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the objects of a conversion are. `day` is the UTC day on which it was made."""

    conversion_id: str
    day: date
    format: Format

    @property
    def folder(self) -> str:
        """The tree of the conversion, ending with a slash."""
        return f"requests/{self.day:%Y/%m/%d}/{self.conversion_id}/"

    @property
    def input(self) -> str:
        """What was asked for."""
        return f"{self.folder}input.json"

    @property
    def record(self) -> str:
        """What was made."""
        return f"{self.folder}record.json"

    @property
    def audio(self) -> str:
        """The audio itself."""
        return self._audio(self.format)

    @property
    def all(self) -> tuple[str, ...]:
        """All that there may be of it, whatever its format: the record first, since what has none is nobody's conversion any more."""
        return self.record, self.input, *map(self._audio, Format)

    def _audio(self, format_: Format) -> str:
        return f"{self.folder}audio/original.{format_.value}"


def keys_of(conversion: Conversion) -> Keys:
    """Where the objects of a conversion of the table are."""
    return Keys(conversion.conversion_id, conversion.day, conversion.format)


def keys_to_remove(removal: Removal) -> tuple[str, ...]:
    """The keys of all that a removal is to take away. Which format the audio has, nobody knows any more."""
    return Keys(removal.conversion_id, removal.day, Format.WAV).all
