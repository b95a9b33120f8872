"""Where speech goes: a file, standard output, somebody's ears; and in which format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.cli.file_output import (
    STANDARD_OUTPUT,
    format_of,
    named_format,
    require_pipe,
    require_writable,
)
from services.cli.speech_files import ENDINGS, FormatName
from services.cli.speech_players import Player, find_player, no_player


@dataclass(frozen=True, slots=True)
class Target:
    """`path` is None where no file is named; one is made then, unless `plays_only`. `player` is None where nobody plays."""

    path: Path | None
    form: FormatName
    player: Player | None
    plays_only: bool
    force: bool

    @classmethod
    def of(cls, output: Path | None, form: str, *, play: bool, force: bool, as_json: bool) -> Target:
        """What the options of a command say. Raises CommandFailed when nothing can be written, or heard, there, so that this is known before it
        is spoken. A file that can be written is worth speaking for, also where nobody plays it."""
        named: FormatName | None = None
        if output is not None:
            named = format_of(output, form, ENDINGS, FormatName.MP3, "audio comes")
        elif form:
            named = named_format(form, ENDINGS)
        player = find_player(named) if play else None
        if play and player is None and output is None:
            raise no_player(named, "Or write to a file: -o FILE")
        if named is None:
            named = FormatName.MP3 if player is None or FormatName.MP3 in player.formats else FormatName.WAV
        target = cls(output, named, player, play and output is None, force)
        if output == STANDARD_OUTPUT:
            require_pipe("audio", as_json)
        elif not target.plays_only:
            require_writable(target.file_of("ID"), force=force, example=f"speech.{named}")
        return target

    def file_of(self, conversion_id: str) -> Path:
        """The file that a conversion goes into."""
        return self.path if self.path is not None else Path(f"speech-{conversion_id}.{self.form}")
