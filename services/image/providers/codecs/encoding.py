"""From pixels to files: the PNG that is kept, its thumbnail, and the formats to download in."""

from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image, PngImagePlugin

# A level of 4 and more takes two thirds longer, and saves a ninth.
_PNG_LEVEL = 1
_QUALITY: Mapping[str, Mapping[str, int]] = {
    "JPEG": {"quality": 90},
    "WEBP": {"quality": 90, "method": 2},
    "AVIF": {"quality": 75, "speed": 9, "max_threads": 1},
}


def png(image: Image.Image, facts: Mapping[str, str]) -> bytes:
    """PNG with these texts in it, by keyword."""
    texts = PngImagePlugin.PngInfo()
    for keyword, text in facts.items():
        # The one character that such a text can't hold.
        texts.add_itxt(keyword, text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    return _saved(image, "PNG", pnginfo=texts, compress_level=_PNG_LEVEL)


def thumbnail(image: Image.Image, pixels: int) -> bytes:
    """A version of it at most so many pixels wide and high, PNG; one that is smaller already stays as it is."""
    small = image.copy()
    small.thumbnail((pixels, pixels), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _saved(small, "PNG", compress_level=6)


def converted(original: bytes, format_: str) -> bytes:
    """An original as JPEG, WEBP or AVIF, without its texts."""
    with Image.open(io.BytesIO(original), formats=("PNG",)) as image:
        image.load()
        image.info = {}
        if format_ == "JPEG" and image.mode == "RGBA":
            ground = Image.new("RGB", image.size, "white")
            ground.paste(image, mask=image)
            return _saved(ground, format_, **_QUALITY[format_])
        return _saved(image, format_, **_QUALITY[format_])


def _saved(image: Image.Image, format_: str, **wishes: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **wishes)
    return file.getvalue()
