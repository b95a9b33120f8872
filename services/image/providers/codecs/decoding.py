"""From bytes that nobody vouches for to pixels: plain 8-bit RGB or RGBA, upright, in sRGB, and nothing else of the file."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import (
    AvifImagePlugin,  # noqa: F401 - Pillow knows a format once its plugin is imported.
    Image,
    ImageCms,
    ImageOps,
    WebPImagePlugin,  # noqa: F401
)

from services.infra.workers.errors import JobRefused

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_AVIF_BRANDS = (b"avif", b"avis")
_MOST_PROFILE_BYTES = 1024**2


def decoded(data: bytes, max_pixels: int) -> Image.Image:
    """The image, the first one where there are several. Raises JobRefused with `format`, `truncated` or `pixels`."""
    if not _is_known(data):
        raise JobRefused("format", "what the provider sent is no image of a known format")
    if data.startswith(_PNG) and _PNG_END not in data:
        # Pillow reads a PNG without its end when no pixel is missing.
        raise _damaged()
    _check_pixels(_webp_size(data), max_pixels)
    # Pillow checks every picture of a file against its limit, before it decodes; the worker makes its warnings errors.
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_pixels(image.size, max_pixels)
            image.load()
            return _plain(_upright(image))
    except (JobRefused, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except Exception as error:
        # Decoders of hostile bytes fail in every way that there is.
        raise _damaged() from error


def _is_known(data: bytes) -> bool:
    return (
        data.startswith((_PNG, b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM"))
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or (data[4:8] == b"ftyp" and _names_avif(data))
    )


def _names_avif(data: bytes) -> bool:
    """Whether the file type box lists a brand of AVIF; HEIC has the same box."""
    box = data[8 : min(struct.unpack_from(">I", data)[0], 256)]
    return any(box[place : place + 4] in _AVIF_BRANDS for place in range(0, len(box), 4))


def _webp_size(data: bytes) -> tuple[int, int]:
    """The canvas that an extended WebP claims; Pillow would make room for it before it tells its size. (0, 0) for anything else."""
    if data[8:16] != b"WEBPVP8X" or len(data) < 30:
        return 0, 0
    return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise _too_many_pixels()


def _too_many_pixels() -> JobRefused:
    return JobRefused("pixels", "what the provider sent has too many pixels")


def _damaged() -> JobRefused:
    return JobRefused("truncated", "what the provider sent is damaged or ends too early")


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF data says. What can't be read there says nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:
        return image


def _plain(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        # 16 bits of grey; Pillow's own conversion would cut them off instead of scaling them.
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "CMYK":
        image = _in_srgb(image, profile)
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    target = "RGBA" if transparent else "RGB"
    was_colour = image.mode in ("RGB", "RGBA", "P", "PA", "YCbCr")
    if image.mode != target:
        image = image.convert(target)
    if was_colour:
        image = _in_srgb(image, profile)
    if target == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    # What is in `info`, an encoder may write.
    image.info = {}
    return image


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    """In sRGB where a readable profile says that it was in something else."""
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _MOST_PROFILE_BYTES:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in (source.profile.profile_description or ""):
            return image
        mode = "RGB" if image.mode == "CMYK" else image.mode
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return converted or image
