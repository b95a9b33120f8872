"""Programs that play audio as it arrives on their standard input."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from services.cli.output import CommandFailed, flat
from services.cli.speech_files import FormatName
from services.cli.speech_spool import Spool

_EVERYTHING = frozenset(FormatName)
_WAV_ALONE = frozenset({FormatName.WAV})
_SLICE_SECONDS = 0.5
_GRACE_SECONDS = 2.0
_MOST_SAID = 4000
_LEAST_HEARD = 0.5


@dataclass(frozen=True, slots=True)
class Player:
    """A program, how it is called, and which formats it plays from a pipe."""

    program: str
    arguments: tuple[str, ...]
    formats: Collection[FormatName] = _EVERYTHING


PLAYERS = (
    Player("ffplay", ("-nodisp", "-autoexit", "-loglevel", "error", "-i", "-")),
    Player("mpv", ("--no-terminal", "--no-video", "-")),
    Player("paplay", (), _WAV_ALONE),
    Player("aplay", ("-q", "-"), _WAV_ALONE),
    # A header that tells no length would be taken for that of a file which is cut off.
    Player("play", ("-q", "-t", "wav", "--ignore-length", "-"), _WAV_ALONE),
)
_ADVICE = "Install ffmpeg (it has ffplay) or mpv"


def find_player(form: FormatName | None) -> Player | None:
    """The first player that is installed, of those that play the format where one is named."""
    for player in PLAYERS:
        if (form is None or form in player.formats) and shutil.which(player.program):
            return player
    return None


def no_player(form: FormatName | None, left: str) -> CommandFailed:
    """The failure to be raised where there is none. `left` says what can be done, or was done, all the same."""
    of = f" that plays {form.upper()} as it arrives" if form else ""
    wav = "; aplay, paplay or SoX play WAV" if form in (None, FormatName.WAV) else ""
    return CommandFailed(
        f"there is no player{of} here", f"{_ADVICE}{wav}. {left}".rstrip(), reason="PLAYER_MISSING"
    )


class Playing:
    """A player that hears a spool from its beginning, however slowly: a thread feeds it. The end of the block ends it."""

    def __init__(self, player: Player, spool: Spool) -> None:
        self._player = player
        self._spool = spool
        self._process: subprocess.Popen[bytes] | None = None
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._ran = 0.0
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block.

    def begin(self) -> None:
        """Starts it, unless it has been started. Raises CommandFailed."""
        if self._process is not None:
            return
        try:
            self._process = subprocess.Popen(
                [self._player.program, *self._player.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
            )
        except OSError as error:
            raise CommandFailed(
                f"{self._player.program} can't be started: {error.strerror}", reason="PLAYER_FAILED"
            ) from None
        self._feeder.start()

    def hear_out(self, seconds: float) -> str:
        """Waits until all has been heard, and tells what went wrong; empty when nothing did. The spool has to be ended; it has so many seconds of
        audio."""
        if self._process is None:
            return ""
        while self._feeder.is_alive():
            self._feeder.join(_SLICE_SECONDS)
        self._said.seek(0)
        lines = self._said.read(_MOST_SAID).decode("utf-8", "replace").strip().splitlines()
        # Some end well without a device to play on. Nobody hears faster than it is spoken.
        too_soon = bool(lines) and self._ran < seconds * _LEAST_HEARD
        if not (self._process.returncode or too_soon):
            return ""
        how = f"ended with {self._process.returncode}" if self._process.returncode else "ended at once"
        return f"{self._player.program} {how}{f': {flat(lines[-1])}' if lines else ''}"

    def _feed(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        began = time.monotonic()
        # One that has ended takes no more; what it said tells why.
        with contextlib.suppress(OSError), process.stdin as into:
            for chunk in self._spool.chunks():
                into.write(chunk)
                into.flush()
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SLICE_SECONDS)
        self._ran = time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._spool.end()
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait(_GRACE_SECONDS)
            self._feeder.join(_GRACE_SECONDS)
        self._said.close()
