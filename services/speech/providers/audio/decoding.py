"""Files of audio that nobody vouches for, into samples."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import soundfile

from services.infra.workers.errors import JobRefused
from services.speech.providers.audio.containers import looked_over
from services.speech.providers.audio.resampling import Resampler
from services.speech.providers.audio.sndfile import blocks

_LONGEST_SECONDS = 3600
# An hour at 48 kHz in stereo. A file of a few megabytes could keep the processor at it for minutes otherwise.
_MOST_VALUES = _LONGEST_SECONDS * 48_000 * 2
_FORMATS = ("WAV", "WAVEX", "MP3", "FLAC", "OGG")
_RATES = range(1_000, 384_001)
# What is kept as it is.
_KEPT_RATES = range(8_000, 48_001)
_OTHERWISE = 24_000
_MOST_CHANNELS = 8
_LOUDEST = 32767
# What libsndfile says of a FLAC file whose writer did not know its length; whether it was read to its end, only the decoder's log tells.
_UNKNOWN = 2**63 - 1
_FLAC_ERROR = "FLAC__STREAM_DECODER_ERROR"


def decoded(audio: bytes, rate: int | None) -> tuple[bytes, int]:
    """The samples of a file as 16-bit little-endian mono, and their rate: the one that is asked for, else the file's own if it is from
    8,000 to 48,000 Hz, else 24,000.

    WAV, MP3, FLAC, and Vorbis and Opus in Ogg are recognised by what they hold. All channels are mixed. Raises JobRefused: `format` for
    what is none of these, `truncated` for what can't be read to its end or holds no samples, `duration` for more than an hour. That an
    MP3 ends early only shows where it is cut within a frame, of a WAV only where its writer knew the length.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(looked_over(audio))) as file:
            return _read(file, rate)
    except soundfile.LibsndfileError as error:
        raise JobRefused(
            "format", "this can't be decoded as the WAV, MP3, FLAC or Ogg file that it seems to be"
        ) from error


def _read(file: soundfile.SoundFile, rate: int | None) -> tuple[bytes, int]:
    source = file.samplerate
    if file.format not in _FORMATS or source not in _RATES or file.channels > _MOST_CHANNELS:
        raise JobRefused("format", f"{file.format} of {file.channels} channels at {source} Hz is not taken")
    target = rate or (source if source in _KEPT_RATES else _OTHERWISE)
    resampler = None if target == source else Resampler(source, target)
    most = min(_LONGEST_SECONDS * source, _MOST_VALUES // file.channels)
    made = io.BytesIO()
    frames = 0
    for block in blocks(file):
        frames += len(block)
        if frames > most:
            raise JobRefused(
                "duration", "the audio is longer than an hour, or than what an hour of speech takes"
            )
        pcm = _samples(block)
        made.write(pcm if resampler is None else resampler.add(pcm))
    if frames == 0:
        raise JobRefused("truncated", "there is no audio in the file")
    if frames < file.frames < _UNKNOWN or _FLAC_ERROR in file.extra_info:
        raise JobRefused("truncated", "the file can't be read to its end")
    if resampler is not None:
        made.write(resampler.finish())
    return made.getvalue(), target


def _samples(block: npt.NDArray[np.float32]) -> bytes:
    """Mixed to mono, at 16 bits. What is no number is silent, what is too loud as loud as can be."""
    mono = np.nan_to_num(
        block.mean(axis=1) if block.shape[1] > 1 else block[:, 0], nan=0.0, posinf=1.0, neginf=-1.0
    )
    return np.clip(np.rint(mono * (_LOUDEST + 1)), -_LOUDEST - 1, _LOUDEST).astype("<i2").tobytes()
