"""Cells around scattered points (Voronoi, Worley): glass between leads, or pebbles."""

from __future__ import annotations

import numpy as np

from services.image.providers.codecs.drawing.chance import Chance
from services.image.providers.codecs.drawing.families import Pattern
from services.image.providers.codecs.drawing.fields import SIDE, TONES, Canvas, Numbers, noise, scattered

_FAR = np.int64(1) << 40


def cells(chance: Chance) -> Pattern:
    """A grid whose points are each moved within their own square."""
    cell = SIDE // chance.between(5, 10)
    salts = [chance.below(1 << 32) for _ in range(4)]
    leaded = chance.below(2) == 0

    def tones(canvas: Canvas) -> Numbers:
        nearest, second, owner = _distances(canvas, cell, salts)
        gap = np.sqrt(second.astype(np.float64)) - np.sqrt(nearest.astype(np.float64))
        edge = (gap * 2048 / cell).astype(np.int64)
        own = scattered(owner, owner >> 8, salts[2]) >> 4
        drift = noise(canvas, SIDE, salts[3], 2)
        tone = (own * 5 + drift * 3 >> 3) + (edge.clip(0, 1200) >> 2) - 150
        if leaded:
            tone = tone * ((edge - 60) * 8).clip(0, 1024) >> 10
        return tone.clip(0, TONES - 1)

    return tones


def _distances(canvas: Canvas, cell: int, salts: list[int]) -> tuple[Numbers, Numbers, Numbers]:
    """The squares of the distances from the nearest point and the next one, and which the nearest is. Each point is looked
    at where it can matter: in its own square and those around it."""
    x, y = canvas.x[0], canvas.y[:, 0]
    nearest = np.full((y.size, x.size), _FAR)
    second = np.full((y.size, x.size), _FAR)
    owner = np.zeros((y.size, x.size), dtype=np.int64)
    for row in range(int(y[0]) // cell - 1, int(y[-1]) // cell + 2):
        top, bottom = np.searchsorted(y, [(row - 1) * cell, (row + 2) * cell])
        for column in range(-1, int(x[-1]) // cell + 2):
            left, right = np.searchsorted(x, [(column - 1) * cell, (column + 2) * cell])
            if top == bottom or left == right:
                continue
            place = np.array([column]), np.array([row])
            point_x = column * cell + int(scattered(*place, salts[0])[0]) * cell // 65536
            point_y = row * cell + int(scattered(*place, salts[1])[0]) * cell // 65536
            squares = (x[left:right] - point_x) ** 2 + ((y[top:bottom] - point_y) ** 2)[:, np.newaxis]
            window = (slice(top, bottom), slice(left, right))
            np.copyto(owner[window], (row + 8) * 256 + column + 8, where=squares < nearest[window])
            np.minimum(second[window], np.maximum(nearest[window], squares), out=second[window])
            np.minimum(nearest[window], squares, out=nearest[window])
    return nearest, second, owner
