"""Parts of speech that are made into one: nobody hears where they meet."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.speech.providers.audio.joining import Joiner
from tests.fakes.speech_audio import sound

RATE = 8000
RAMP = 40

_SAMPLE = st.integers(-32768, 32767)


def _walk(start: int, steps: list[int]) -> list[int]:
    return [max(-32768, min(32767, place)) for place in accumulate(steps, initial=start)]


ANY = st.lists(_SAMPLE, max_size=150)
"""Noise, in which each sample may be anywhere."""

OFFSET = st.builds(_walk, _SAMPLE, st.lists(st.integers(-9, 9), max_size=150))
"""What moves little, and may be far from zero."""

PARTS = st.lists(ANY | OFFSET, min_size=1, max_size=5)


def joined(parts: list[list[int]], chunk: int) -> list[list[int]]:
    """What becomes of each part. Each is handed over in chunks."""
    joiner = Joiner(RATE)
    made = []
    for part in parts:
        pcm = np.array(part, np.int16).tobytes()
        data = b"".join(joiner.add(pcm[place : place + 2 * chunk]) for place in range(0, len(pcm), 2 * chunk))
        made.append([int(sample) for sample in np.frombuffer(data + joiner.end(), np.int16)])
    return made


def largest_step(parts: list[list[int]]) -> int:
    return max((abs(b - a) for part in parts for a, b in pairwise(part)), default=0)


@settings(max_examples=60, deadline=None)
@given(PARTS, st.integers(1, 300))
def test_no_step_at_a_join_is_larger_than_twice_the_largest_inside(
    parts: list[list[int]], chunk: int
) -> None:
    made = joined(parts, chunk)

    spoken = [[0], *(part for part in made if part), [0]]
    for before, after in pairwise(spoken):
        assert abs(after[0] - before[-1]) <= 2 * largest_step(parts)


@settings(max_examples=40, deadline=None)
@given(PARTS, st.integers(1, 300))
def test_ramps_keep_the_length_and_are_no_steps_of_their_own(parts: list[list[int]], chunk: int) -> None:
    made = joined(parts, chunk)

    assert [len(part) for part in made] == [len(part) for part in parts]
    for before, after in zip(parts, made, strict=True):
        peak = max(map(abs, before), default=0)
        ramps = 1 if len(before) >= 2 * RAMP else 2
        assert largest_step([after]) <= largest_step([before]) + ramps * (peak / RAMP + 1)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 700), st.lists(st.integers(1, 8000), min_size=1, max_size=4))
def test_parts_that_begin_and_end_near_silence_stay_as_they_are(chunk: int, lengths: list[int]) -> None:
    parts = []
    for length in lengths:
        swell = np.sin(np.linspace(0, np.pi, length)) if length > 1 else np.zeros(1)
        parts.append([int(sample) for sample in sound(length, RATE) * swell])

    assert joined(parts, chunk) == parts


def test_a_pause_is_silence_of_its_length_behind_the_part() -> None:
    joiner = Joiner(22050)
    begun = joiner.add(sound(4410, 22050).tobytes())
    made = np.frombuffer(begun + joiner.pause(0.25), np.int16)

    assert len(made) == 4410 + round(0.25 * 22050)
    assert not made[4410:].any()
    assert joiner.pause(0.0) == b""
