"""Fields over the picture: waves, distances and noise, in whole numbers.

The shorter side of a picture is `SIDE` units long, whatever its pixels, so that a picture is the same at every size; the longer one at most
four times that. A tone is a number of
[0, TONES).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

SIDE = 4096
TONES = 4096
TURN = 4096
"""Units of a full angle."""
WAVE = 1024
"""The amplitude of `sine`."""
_ONE = 1024


@dataclass(frozen=True, slots=True)
class Canvas:
    """Some rows of a picture: where its columns and rows are, in units, shaped to be combined, (1, width) and (height, 1)."""

    x: Numbers
    y: Numbers

    @classmethod
    def of(cls, width: int, height: int, top: int, bottom: int) -> Canvas:
        """The rows from `top` until `bottom` of a picture of this size."""
        side = max(min(width, height), -(-max(width, height) // 4))
        columns = (np.arange(width, dtype=np.int64) * 2 + 1) * SIDE // (2 * side)
        rows = (np.arange(top, bottom, dtype=np.int64) * 2 + 1) * SIDE // (2 * side)
        return cls(columns[np.newaxis, :], rows[:, np.newaxis])


def _sines() -> Numbers:
    """A sine by the rational approximation of Bhaskara I (7th century), which whole numbers compute exactly."""
    half = TURN // 2
    at = np.arange(half, dtype=np.int64)
    product = at * (half - at)
    arch = 16 * product * WAVE // (5 * half * half - 4 * product)
    return np.concatenate([arch, -arch])


_SINES = _sines()


def sine(angle: Numbers) -> Numbers:
    """The sine of angles in units of `TURN`, times `WAVE`."""
    return _SINES.take(angle & (TURN - 1))


def distance(canvas: Canvas, x: int, y: int) -> Numbers:
    """How far each pixel is from a point, in units."""
    squares = (canvas.x - x) ** 2 + (canvas.y - y) ** 2
    return np.sqrt(squares.astype(np.float64)).astype(np.int64)


def scattered(x: Numbers, y: Numbers, salt: int) -> Numbers:
    """A number of [0, 65536) for each pair of whole numbers, without visible order."""
    with np.errstate(over="ignore"):
        mixed = x.astype(np.uint32) * np.uint32(0x9E3779B1) ^ y.astype(np.uint32) * np.uint32(0x85EBCA77)
        mixed ^= np.uint32(salt & 0xFFFFFFFF)
        mixed ^= mixed >> np.uint32(16)
        mixed *= np.uint32(0x7FEB352D)
        mixed ^= mixed >> np.uint32(15)
        mixed *= np.uint32(0x846CA68B)
        mixed ^= mixed >> np.uint32(16)
    return (mixed & np.uint32(0xFFFF)).astype(np.int64)


def noise(canvas: Canvas, cell: int, salt: int, octaves: int = 3) -> Numbers:
    """Smooth noise of [0, TONES) whose coarsest features are `cell` units wide, each next octave half as wide and half as strong."""
    total = np.zeros((canvas.y.size, canvas.x.size), dtype=np.int64)
    strength = TONES // 2
    for octave in range(octaves):
        total += _octave(canvas, max(cell >> octave, 1), salt + octave) * strength >> 16
        strength >>= 1
    return total * (1 << octaves) // ((1 << octaves) - 1)


def _octave(canvas: Canvas, cell: int, salt: int) -> Numbers:
    """Random numbers of [0, 65536) at the corners of a grid, and smooth ways between them: first along the few rows of corners, then
    down."""
    column, across = _placed(canvas.x[0], cell)
    row, down = _placed(canvas.y[:, 0], cell)
    corners = scattered(
        np.arange(column[-1] + 2, dtype=np.int64)[np.newaxis, :],
        np.arange(row[0], row[-1] + 2, dtype=np.int64)[:, np.newaxis],
        salt,
    )
    left, right = corners[:, column], corners[:, column + 1]
    lines = left + ((right - left) * across >> 10)
    steps = np.diff(lines, axis=0)
    first = row - row[0]
    result: Numbers = steps[first]
    result *= down[:, np.newaxis]
    result >>= 10
    result += lines[first]
    return result


def _placed(places: Numbers, cell: int) -> tuple[Numbers, Numbers]:
    """In which cells they are, and how far from its beginning, of [0, 1024], eased."""
    index = places // cell
    part = (places - index * cell) * _ONE // cell
    return index, part * part * (3 * _ONE - 2 * part) >> 20


def ridge(canvas: Canvas, cell: int, salt: int, octaves: int) -> Numbers:
    """Noise along the columns alone, (1, width)."""
    line = Canvas(canvas.x, np.zeros((1, 1), dtype=np.int64))
    return noise(line, cell, salt, octaves)
