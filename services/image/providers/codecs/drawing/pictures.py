"""A picture: a family of patterns and a palette by chance, laid on as the style does."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from services.image.providers.codecs.drawing.cells import cells
from services.image.providers.codecs.drawing.chance import Chance
from services.image.providers.codecs.drawing.families import Pattern, arcs, aurora, hills, ripples, silk
from services.image.providers.codecs.drawing.fields import TONES, Canvas, Numbers, scattered
from services.image.providers.codecs.drawing.palettes import PLAIN, STYLES, Palette, Style

Pixels = npt.NDArray[np.uint8]

FAMILIES = (ripples, silk, aurora, arcs, hills, cells)
_BAND_PIXELS = 1 << 16
_STEPS = 1024
_SHADES = 32
_NEUTRAL = 16
_GRAIN_SIDE = 256
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], dtype=np.int64)


def drawn(prompt: str, width: int, height: int, style: str, seed: int) -> Pixels:
    """Red, green and blue, (height, width, 3). A style that is not known counts as none."""
    key = hashlib.sha256(f"{prompt}\0{style}\0{seed}".encode()).digest()
    chance = Chance(key)
    how = STYLES.get(style, PLAIN)
    pattern = chance.pick(FAMILIES)(chance)
    colours = _colours(chance.pick(how.palettes), how)
    if how.blocks:
        return _in_blocks(pattern, colours, how, width, height)
    salt = chance.below(1 << 32)
    # Some rows at a time: what is at work then fits into a core's own memory.
    rows = max(1, _BAND_PIXELS // width)
    picture = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        picture[top:bottom] = _band(pattern, colours, how, (width, height, top, bottom), salt)
    return picture


def _band(
    pattern: Pattern, colours: npt.NDArray[np.uint32], how: Style, rows: tuple[int, int, int, int], salt: int
) -> Pixels:
    width, height, top, bottom = rows
    # One row and column more, for light needs to know what is beside.
    canvas = Canvas.of(width + 1, height + 1, top, bottom + 1) if how.relief else Canvas.of(*rows)
    tones = pattern(canvas)
    shades = np.full((bottom - top, width), _NEUTRAL, dtype=np.int64)
    if how.relief:
        slope = tones[:-1, :-1] - tones[1:, 1:]
        tones = tones[:-1, :-1]
        # A slope counts by the unit, not by the pixel.
        shades += (slope * how.relief * min(width, height) >> 16).clip(-7, 7)
    if how.grain:
        shades += _grain(width, top, bottom, salt) * how.grain >> 16
    if how.hatched:
        shades -= _strokes(tones, top) * 6
    index = (tones * _STEPS // TONES) * _SHADES + shades.clip(0, _SHADES - 1)
    return _coloured(index, colours)


def _in_blocks(
    pattern: Pattern, colours: npt.NDArray[np.uint32], how: Style, width: int, height: int
) -> Pixels:
    """Coarse squares; between two levels they alternate (ordered dithering, Bayer)."""
    block = max(1, min(width, height) // how.blocks)
    across, down = -(-width // block), -(-height // block)
    tones = pattern(Canvas.of(across, down, 0, down))
    dither = np.tile(_BAYER, (down // 4 + 1, across // 4 + 1))[:down, :across]
    tones = (tones + (dither - 8) * (TONES // how.levels) // 24).clip(0, TONES - 1)
    index = (tones * _STEPS // TONES) * _SHADES + _NEUTRAL
    small = _coloured(index, colours)
    return small.repeat(block, axis=0).repeat(block, axis=1)[:height, :width]


def _coloured(index: Numbers, colours: npt.NDArray[np.uint32]) -> Pixels:
    bytes_: Pixels = colours.take(index).view(np.uint8).reshape(*index.shape, 4)
    return bytes_[:, :, :3]


def _grain(width: int, top: int, bottom: int, salt: int) -> Numbers:
    """Around 0, up to 65536 either way; it repeats, which nobody sees."""
    side = np.arange(_GRAIN_SIDE, dtype=np.int64)
    tile = scattered(side[np.newaxis, :], side[:, np.newaxis], salt) * 2 - 65536
    rows = np.arange(top, bottom) % _GRAIN_SIDE
    return np.tile(tile[rows], (1, width // _GRAIN_SIDE + 1))[:, :width]


def _strokes(tones: Numbers, top: int) -> Numbers:
    """Layers of slanted strokes, the more the darker."""
    x = np.arange(tones.shape[1], dtype=np.int64)[np.newaxis, :]
    y = np.arange(top, top + tones.shape[0], dtype=np.int64)[:, np.newaxis]
    layers = (
        (tones < TONES * 5 // 8) & ((x + y) % 7 < 1),
        (tones < TONES * 3 // 8) & ((x - y) % 7 < 1),
        (tones < TONES // 5) & ((x * 2 + y) % 7 < 2),
        # Contours.
        (tones * 10 // TONES) != (np.roll(tones, 1, axis=1) * 10 // TONES),
    )
    total = np.zeros_like(tones)
    for layer in layers:
        total += layer
    return total


def _colours(palette: Palette, how: Style) -> npt.NDArray[np.uint32]:
    """A table of `_STEPS` tones with `_SHADES` each: red, green, blue and nothing, in this order of bytes."""
    stops = np.array([[c >> 16, c >> 8 & 255, c & 255] for c in palette], dtype=np.int64)
    steps = np.arange(_STEPS, dtype=np.int64)
    if how.levels:
        steps = _flattened(steps, how.levels, sharp=bool(how.blocks))
    place = steps * (len(palette) - 1)
    first, part = place // _STEPS, place % _STEPS
    tones = (
        stops[first]
        + (stops[np.minimum(first + 1, len(palette) - 1)] - stops[first]) * part[:, np.newaxis] // _STEPS
    )
    shade = np.arange(_SHADES, dtype=np.int64)[np.newaxis, :, np.newaxis]
    tones = tones[:, np.newaxis, :]
    darker = tones * (shade + _NEUTRAL) // (2 * _NEUTRAL)
    lighter = tones + (255 - tones) * (shade - _NEUTRAL) // (2 * _NEUTRAL)
    table = np.zeros((_STEPS, _SHADES, 4), dtype=np.uint8)
    table[:, :, :3] = np.where(shade < _NEUTRAL, darker, lighter)
    return table.reshape(-1).view(np.uint32)


def _flattened(steps: Numbers, levels: int, *, sharp: bool) -> Numbers:
    """Steps in so many levels, with a short way between two of them unless it is to be sharp."""
    scaled = steps * levels
    level, part = scaled // _STEPS, scaled % _STEPS
    if sharp:
        return level * (_STEPS - 1) // max(levels - 1, 1)
    part = ((part - _STEPS // 2) * 12 + _STEPS // 2).clip(0, _STEPS)
    flat: Numbers = np.minimum((level * _STEPS + part) // levels, _STEPS - 1)
    return flat
