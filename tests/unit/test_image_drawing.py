"""Pattern art is the same on every machine: the digests of its pixels are part of the promise."""

import hashlib

import pytest

from services.image.providers.codecs.drawing import pictures
from services.image.providers.codecs.drawing.chance import Chance
from services.image.providers.codecs.drawing.pictures import FAMILIES, drawn

GOLDEN = {
    ("", 9): "0791989a7458075b",  # ripples
    ("realistic", 7): "1a43d6c0c6268f55",  # silk
    ("anime", 5): "3b4e8aa1ac00d4cb",  # aurora
    ("digital-art", 4): "daa496655a89cf06",  # arcs
    ("watercolor", 2): "9d52f227c6da7f10",  # hills
    ("sketch", 1): "1e1e85e5fe95684c",  # cells
    ("pixel-art", 2): "8c0e8eced0c378c3",  # ripples
}


def digest(style: str, seed: int) -> str:
    return hashlib.sha256(drawn("a cat", 96, 64, style, seed).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(("style", "seed"), GOLDEN)
def test_the_pixels_of_a_picture_never_change(style: str, seed: int) -> None:
    assert digest(style, seed) == GOLDEN[style, seed]


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 1)])
def test_any_size_can_be_drawn(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for family in FAMILIES:
        monkeypatch.setattr(pictures, "FAMILIES", (family,))
        for style in ("", "sketch", "pixel-art"):
            assert drawn("a cat", *size, style, 1).shape == (size[1], size[0], 3)


def test_a_picture_drawn_in_bands_has_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {style: drawn("a cat", 80, 80, style, 3).tobytes() for style in ("", "sketch", "watercolor")}
    monkeypatch.setattr(pictures, "_BAND_PIXELS", 80 * 7)
    assert {style: drawn("a cat", 80, 80, style, 3).tobytes() for style in whole} == whole


def test_a_style_that_is_not_known_is_drawn_in_the_plain_way() -> None:
    assert drawn("a cat", 8, 8, "cubist", 1).shape == (8, 8, 3)


def test_seeds_reach_every_family() -> None:
    found = set()
    for seed in range(60):
        key = hashlib.sha256(f"a cat\0\0{seed}".encode()).digest()
        found.add(Chance(key).pick(FAMILIES))
    assert found == set(FAMILIES)
