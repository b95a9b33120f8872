"""The families of patterns. Each is made from its chance once, and then gives the tones of some rows of a picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.image.providers.codecs.drawing.chance import Chance
from services.image.providers.codecs.drawing.fields import (
    SIDE,
    TONES,
    TURN,
    WAVE,
    Canvas,
    Numbers,
    distance,
    noise,
    ridge,
    scattered,
    sine,
)

Pattern = Callable[[Canvas], Numbers]
_SALTS = 1 << 32


def ripples(chance: Chance) -> Pattern:
    """Rings of a few sources that meet."""
    sources = [
        (*_point(chance, SIDE // 3), chance.between(SIDE // 14, SIDE // 5), chance.below(TURN))
        for _ in range(chance.between(3, 5))
    ]
    salt, bend = chance.below(_SALTS), chance.between(0, TURN)

    def tones(canvas: Canvas) -> Numbers:
        bent = noise(canvas, SIDE // 3, salt, 2) * bend // TONES
        total = np.zeros_like(bent)
        for x, y, length, phase in sources:
            total += sine(distance(canvas, x, y) * TURN // length + bent + phase)
        return _spread(total, len(sources) * WAVE * 5 // 8)

    return tones


def silk(chance: Chance) -> Pattern:
    """Folds that follow a wandering field."""
    salts = [chance.below(_SALTS) for _ in range(2)]
    along, across = chance.between(-6, 6), chance.between(2, 9)
    bend = chance.between(4, 9)

    def tones(canvas: Canvas) -> Numbers:
        first = noise(canvas, SIDE // 2, salts[0], 3)
        second = noise(canvas, SIDE * 2 // 5, salts[1], 2)
        phase = (canvas.x * along + canvas.y * across) // 8 + first * bend // 2
        total = sine(phase) * 5 + sine((phase >> 1) + second * 2) * 3 + sine(phase * 3 + second) * 2
        return _spread(total, WAVE * 9)

    return tones


def aurora(chance: Chance) -> Pattern:
    """Soft lights over a slope."""
    lights = [
        (*_point(chance, 0), chance.between(SIDE // 12, SIDE // 4), chance.pick((-4, -3, 3, 4)))
        for _ in range(chance.between(4, 7))
    ]
    salt, slope = chance.below(_SALTS), chance.between(-8, 8)

    def tones(canvas: Canvas) -> Numbers:
        drift = noise(canvas, SIDE // 2, salt, 3)
        total = (drift * 9 + (SIDE - canvas.y) * 2 + canvas.x * slope // 4) // 12
        for x, y, radius, strength in lights:
            squares = (canvas.x - x) ** 2 + (canvas.y - y) ** 2 + radius * radius
            total += (strength * 360.0 * radius * radius / squares).astype(np.int64)
        return total.clip(0, TONES - 1)

    return tones


def arcs(chance: Chance) -> Pattern:
    """Tiles of quarter circles, each turned one way or the other (Truchet, Smith)."""
    cell = SIDE // chance.between(4, 9)
    stripes, salt = chance.between(2, 4), chance.below(_SALTS)
    glow = chance.below(_SALTS)

    def tones(canvas: Canvas) -> Numbers:
        column, row = canvas.x // cell, canvas.y // cell
        turned = (scattered(column, row, salt) & 1).astype(bool)
        across, down = canvas.x - column * cell, canvas.y - row * cell
        across = np.where(turned, cell - across, across)
        near = _length(across, down)
        far = _length(cell - across, cell - down)
        # A cosine, which goes on where one tile ends and another begins.
        rings = sine(np.minimum(near, far) * TURN * stripes // cell + TURN // 4)
        return _spread(rings * 3 + noise(canvas, SIDE, glow, 2) - TONES // 2, WAVE * 4)

    return tones


def hills(chance: Chance) -> Pattern:
    """Ridges behind one another under a disc."""
    count = chance.between(4, 7)
    layers = [
        (chance.below(_SALTS), SIDE // chance.between(2, 5), chance.between(SIDE // 8, SIDE // 3))
        for _ in range(count)
    ]
    disc_x, disc_y = chance.between(SIDE // 5, SIDE * 4 // 5), chance.between(SIDE // 8, SIDE // 2)
    radius = chance.between(SIDE // 14, SIDE // 6)

    def tones(canvas: Canvas) -> Numbers:
        away = distance(canvas, disc_x, disc_y)
        sky = TONES * 3 // 4 - canvas.y // 4 + (radius * 400.0 / (away + radius)).astype(np.int64)
        # The edge of the disc is a few units wide, so that it is smooth at the usual sizes.
        result: Numbers = sky + ((radius - away) * 48).clip(0, 900)
        for index, (salt, cell, height) in enumerate(layers):
            base = SIDE * (index + 3) // (count + 3)
            top = base - ridge(canvas, cell, salt, 4) * height // TONES
            depth = canvas.y - top
            tone = TONES * (count - index) * 5 // (count * 8) + (depth >> 2).clip(0, 500)
            # From the sky to the hill over some units, for the same reason.
            cover = (depth * 48).clip(0, 1024)
            result = result + ((tone - result) * cover >> 10)
        return result.clip(0, TONES - 1)

    return tones


def _point(chance: Chance, margin: int) -> tuple[int, int]:
    return chance.between(-margin, SIDE + margin), chance.between(-margin, SIDE + margin)


def _length(x: Numbers, y: Numbers) -> Numbers:
    return np.sqrt((x * x + y * y).astype(np.float64)).astype(np.int64)


def _spread(total: Numbers, most: int) -> Numbers:
    """From [-most, most] to tones; what is beyond is cut."""
    return ((total + most) * (TONES - 1) // (2 * most)).clip(0, TONES - 1)
