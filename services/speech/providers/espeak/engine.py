"""espeak-ng, which speaks one segment after the other. For worker processes: while it works it has the process's working directory."""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader

from services.speech.model import Segment, Voice
from services.speech.providers.espeak import library
from services.speech.providers.espeak.library import Library
from services.speech.providers.espeak.voices import Entry, has_words, voices_of
from services.speech.providers.espeak.words import Mark, TimedWord, timed_words

_BUFFER_MILLISECONDS = 60
_WORDS_PER_MINUTE = 175
_LEAST_WORDS, _MOST_WORDS = 80, 450
# What espeak-ng 1.52 makes of its parameters, as measured on vowels of five voices: 50 stands for the voice's own in both, a pitch of 100
# for twice the frequency at which its range begins, and a wider range begins lower, by this share of that frequency for one twice as wide.
_OWN = 50
_LOWERED = 18 * 108 * (118 - 82) / ((82 - 9) * 4096)
# Some of these are commands to it; none is anything to be spoken.
_CONTROLS = {code: " " for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n\r"}


@dataclass(frozen=True, slots=True)
class Spoken:
    """A segment as it sounds: 16-bit mono samples, and when its words are spoken, in samples from its beginning."""

    pcm: bytes
    words: Sequence[TimedWord]


class Engine:
    """Speaks for one job. The same segments in the same manner are always the same samples, whatever other jobs have spoken before."""

    def __init__(self, loaded: Library, data: Path, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._library = loaded
        self._data = data

    def speak(self, voice: str, rate: float, pitch: float, segment: Segment) -> Spoken:
        """A segment with the voice's own pause behind it, so many times as fast as the voice speaks by itself, and so many semitones higher:
        within one semitone from -9 to 10. Raises LookupError when espeak-ng has no such voice, RuntimeError when it can't speak."""
        self._take_voice(voice, rate, pitch)
        pcm = bytearray()
        marks: list[Mark] = []
        ends: list[int] = []
        failures: list[BaseException] = []

        def heard(samples: int | None, count: int, events: ctypes._Pointer[library.Event]) -> int:
            try:
                if samples and count > 0:
                    pcm.extend(ctypes.string_at(samples, 2 * count))
                for event in _listed(events):
                    if event.type == library.WORD:
                        marks.append(Mark(event.position - 1, event.length, event.sample))
                    elif event.type == library.END:
                        ends.append(event.sample)
            except BaseException as failure:
                failures.append(failure)
                return library.STOP
            return library.GO_ON

        self._synthesize(segment, heard)
        if failures:
            raise failures[0]
        return Spoken(bytes(pcm), timed_words(segment, marks, ends, len(pcm) // 2))

    def voices(self) -> list[Voice]:
        """All that it has of its own, and that can say something."""
        listed = self._library.espeak_ListVoices(None)
        entries: list[Entry] = []
        while listed[len(entries)]:
            found = listed[len(entries)].contents
            tag = ctypes.string_at(found.languages + 1).decode()
            entries.append(Entry(found.name.decode(), tag, found.identifier.decode(), found.gender))
        return voices_of((entry for entry in entries if has_words(self._data, entry)), self.sample_rate)

    def _synthesize(self, segment: Segment, heard: Callable[..., int]) -> None:
        callback = library.Heard(heard)
        flags = library.UTF8 | library.END_PAUSE | (library.SSML if segment.ssml else 0)
        text = (segment.ssml or segment.text).translate(_CONTROLS).encode()
        self._library.espeak_SetSynthCallback(callback)
        failed = self._library.espeak_Synth(
            text, len(text) + 1, 0, library.FROM_CHARACTER, 0, flags, None, None
        )
        if failed:
            raise RuntimeError(f"espeak-ng does not speak: {failed}")

    def _take_voice(self, voice: str, rate: float, pitch: float) -> None:
        """Everything that a text before may have changed."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0 or self._voice() != voice:
            # It would go on with the voice before.
            raise LookupError(f"espeak-ng has no voice {voice!r}")
        words_per_minute = min(max(round(rate * _WORDS_PER_MINUTE), _LEAST_WORDS), _MOST_WORDS)
        factor = 2 ** (pitch / 12)
        # A voice whose melody is to stay the same needs as much wider a range as it is higher.
        base = _OWN + _OWN * math.log2(max(factor + _LOWERED * (factor - 1), 0.5))
        self._set(library.RATE, words_per_minute)
        self._set(library.PITCH, min(round(base), 2 * _OWN))
        self._set(library.RANGE, min(round(_OWN * factor), 2 * _OWN))

    def _voice(self) -> str:
        current = self._library.espeak_GetCurrentVoice()
        return str(current.contents.identifier.decode()) if current else ""

    def _set(self, parameter: int, value: int) -> None:
        if self._library.espeak_SetParameter(parameter, value, 0) != 0:
            raise RuntimeError(f"espeak-ng does not take {value} for its parameter {parameter}")


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """One that has said nothing yet. Raises RuntimeError when espeak-ng does not start."""
    # It has room for 160 bytes of a path, and cuts off what is longer.
    data = Path(espeakng_loader.get_data_path())
    with contextlib.chdir(data.parent):
        loaded = Library(espeakng_loader.get_library_path())
        try:
            sample_rate = loaded.espeak_Initialize(
                library.SYNCHRONOUS, _BUFFER_MILLISECONDS, b".", library.DONT_EXIT
            )
            if sample_rate <= 0:
                raise RuntimeError(f"espeak-ng does not start: {sample_rate}")
            yield Engine(loaded, data, sample_rate)
        finally:
            loaded.unload()


def _listed(events: ctypes._Pointer[library.Event]) -> Iterator[library.Event]:
    place = 0
    while events[place].type:
        yield events[place]
        place += 1
