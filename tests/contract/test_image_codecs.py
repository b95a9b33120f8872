"""What codecs promise (`image.ports.Codecs`), asked of the worker processes, and as far as they go of the plain ones of the tests."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from services.image.errors import ImageUnusable
from services.image.model import Format, Size
from services.image.ports import Codecs
from services.image.providers.codecs.adapter import WorkerCodecs
from tests.fakes.foreign_images import MARK, kinds, saved, scene, talkative, with_swapped_profile
from tests.fakes.image_codecs import PlainCodecs

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_PIXELS = 100_000
FACTS = {"Prompt": "eine Katze, 一只猫 🐈\nand " + "very long " * 700, "Seed": "4294967295", "Empty": ""}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codecs() -> AsyncIterator[WorkerCodecs]:
    made = WorkerCodecs(workers=1, max_pixels=MAX_PIXELS)
    yield made
    await made.aclose()


@pytest.fixture(params=["workers", "plain"])
def either(request: pytest.FixtureRequest, codecs: WorkerCodecs) -> Codecs:
    return codecs if request.param == "workers" else PlainCodecs(max_pixels=MAX_PIXELS)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def colours(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The colour in the middle of the left half, and of the right one."""
    plain = np.asarray(image.convert("RGB")).astype(np.int64)
    return plain[image.height // 2, [image.width // 4, image.width * 3 // 4]]


async def test_an_image_is_kept_as_png_with_its_facts_its_digest_and_a_thumbnail(either: Codecs) -> None:
    drawn = await either.draw("a cat", Size(320, 200), "", 7)
    original = await either.adopt(drawn, FACTS)
    image = opened(original.png)
    assert (image.format, image.size) == ("PNG", (320, 200)) == ("PNG", (original.width, original.height))
    assert {key: image.info[key] for key in FACTS} == FACTS
    assert original.sha256 == hashlib.sha256(original.png).hexdigest()
    small = opened(original.thumbnail)
    assert (small.format, small.size) == ("PNG", (256, 160))


async def test_what_is_no_image_ends_early_or_is_too_large_is_refused(either: Codecs) -> None:
    png = await either.draw("a cat", Size(64, 64), "", 7)
    wide = saved(Image.new("1", (MAX_PIXELS // 100 + 1, 100)), "PNG")
    for data, detail in (
        (b"<svg/>", "format"),
        (b"", "format"),
        (png[: len(png) // 2], "truncated"),
        (png[:-1], "truncated"),
        (wide, "pixels"),
    ):
        with pytest.raises(ImageUnusable) as told:
            await either.adopt(data, {})
        assert told.value.metadata == {"detail": detail}


async def test_the_same_is_drawn_for_the_same_and_something_else_for_anything_else(either: Codecs) -> None:
    first = await either.draw("a cat", Size(48, 64), "anime", 7)
    assert opened(first).size == (48, 64)
    assert await either.draw("a cat", Size(48, 64), "anime", 7) == first
    for other in (("a dog", "anime", 7), ("a cat", "sketch", 7), ("a cat", "anime", 8)):
        assert await either.draw(other[0], Size(48, 64), *other[1:]) != first


async def test_a_png_is_given_as_it_is(either: Codecs) -> None:
    png = saved(scene(), "PNG")
    assert await either.convert(png, Format.PNG) == (png, hashlib.sha256(png).hexdigest())


@pytest.mark.parametrize("format_", [Format.JPEG, Format.WEBP, Format.AVIF])
async def test_other_formats_show_the_same_and_tell_nothing(codecs: WorkerCodecs, format_: Format) -> None:
    original = await codecs.adopt(saved(scene(), "PNG"), {"Comment": MARK, "comment": MARK, "exif": MARK})
    data, digest = await codecs.convert(original.png, format_)
    assert digest == hashlib.sha256(data).hexdigest()
    image = opened(data)
    assert (Image.MIME[image.format or ""], image.size) == (format_.value, (60, 40))
    assert np.abs(colours(image) - colours(scene())).max() < 12
    assert MARK.encode() not in data


async def test_what_is_transparent_is_white_in_jpeg_and_stays_so_elsewhere(codecs: WorkerCodecs) -> None:
    ghost = Image.new("RGBA", (40, 40), (10, 20, 30, 0))
    original = await codecs.adopt(saved(ghost, "PNG"), {})
    jpeg = opened((await codecs.convert(original.png, Format.JPEG))[0])
    webp = opened((await codecs.convert(original.png, Format.WEBP))[0])
    assert colours(jpeg).min() > 250
    assert webp.convert("RGBA").getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize("kind", kinds())
async def test_every_kind_that_is_taken_comes_out_plain(codecs: WorkerCodecs, kind: str) -> None:
    original = await codecs.adopt(kinds()[kind], {})
    image = opened(original.png)
    has_alpha = kind in ("png-alpha", "webp-lossless")
    assert (image.mode, image.size) == ("RGBA" if has_alpha else "RGB", (60, 40))
    # Inks are not converted exactly, and lossy formats are lossy.
    assert np.abs(colours(image) - colours(scene())).max() < 25
    assert not getattr(image, "is_animated", False)


async def test_sixteen_bits_of_grey_are_scaled_not_cut(codecs: WorkerCodecs) -> None:
    deep = np.linspace(0, 65535, 256).astype(np.uint16)[np.newaxis, :].repeat(4, axis=0)
    original = await codecs.adopt(saved(Image.fromarray(deep), "PNG"), {})
    line = np.asarray(opened(original.png))[0, :, 0].astype(np.int64)
    assert np.abs(line - np.arange(256)).max() <= 1


@pytest.mark.parametrize(
    "image", [Image.new("1", (9, 9), 1), Image.new("L", (1, 1), 255), Image.new("LA", (3, 9), (255, 255))]
)
async def test_grey_and_tiny_ones_become_rgb(codecs: WorkerCodecs, image: Image.Image) -> None:
    original = await codecs.adopt(saved(image, "PNG"), {})
    kept = opened(original.png)
    assert (kept.mode, kept.size, kept.getpixel((0, 0))) == ("RGB", image.size, (255, 255, 255))
    assert opened(original.thumbnail).size == image.size


async def test_a_rotated_photograph_is_turned_upright(codecs: WorkerCodecs) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    original = await codecs.adopt(saved(scene(), "JPEG", exif=exif, quality=95), {})
    assert (original.width, original.height) == (40, 60)
    red, green, blue = opened(original.png).getpixel((20, 10))  # type: ignore[misc]
    assert red > 180 > blue + green


async def test_a_profile_is_followed_and_then_dropped(codecs: WorkerCodecs) -> None:
    image = opened((await codecs.adopt(with_swapped_profile(), {})).png)
    red, green, _ = colours(image)[0]
    assert green > 180 > red
    assert "icc_profile" not in image.info


@pytest.mark.parametrize("kind", talkative())
async def test_nothing_foreign_is_kept_beside_the_pixels(codecs: WorkerCodecs, kind: str) -> None:
    data = talkative()[kind]
    original = await codecs.adopt(data, {"Prompt": "a cat"})
    assert opened(original.png).info == {"Prompt": "a cat"}
    assert opened(original.thumbnail).info == {}
    assert MARK.encode() not in original.png + original.thumbnail
    assert {name for name in (b"tEXt", b"zTXt", b"eXIf", b"iCCP") if name in original.png} == set()
