"""Downloads: what they hold while they are read, who waits for whom, and what becomes of damaged objects and readers that stall."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from services.bootstrap.images import LocalImages
from services.image.errors import CodecsOverloaded
from services.image.generation.objects import PNG, keys_of
from services.image.model import Format, Image
from services.image.usecases import converting
from services.image.usecases.converting import Conversions
from services.image.usecases.download import DownloadImage
from services.kernel.errors import NotFound, ServiceError, Unavailable
from services.kernel.ids import new_id
from tests.fakes.blobs_memory import MemoryBlobs
from tests.fakes.image_codecs import PlainCodecs, picture
from tests.fakes.image_memory import MemoryImageStore
from tests.fakes.image_stage import SMALL
from tests.fakes.image_stores import images_of, new_generation
from tests.fakes.worker_pools import until

ORIGINAL = picture(SMALL)


class Downloads:
    """A process that sends images, two conversions at once, one of a caller."""

    def __init__(self, at_once: int = 2) -> None:
        self.blobs = MemoryBlobs()
        self.codecs = PlainCodecs()
        self.download = DownloadImage(MemoryImageStore(), self.blobs, self.codecs, Conversions(at_once))
        self.reading: list[asyncio.Task[str]] = []

    async def stored(self, user_id: str = "ana", count: int = 1, data: bytes = ORIGINAL) -> list[Image]:
        """New images, whose originals are these bytes whatever they should be."""
        first = images_of(new_generation())[0]
        sha256 = hashlib.sha256(ORIGINAL).hexdigest()
        made = [
            dataclasses.replace(
                first, image_id=new_id(), user_id=user_id, sha256=sha256, size_bytes=len(ORIGINAL)
            )
            for _ in range(count)
        ]
        for image in made:
            await self.blobs.put(keys_of(image).original, data, PNG)
        return made

    def begin(self, image: Image, format_: Format = Format.JPEG) -> asyncio.Task[str]:
        """Somebody downloads; the digest."""

        async def read() -> str:
            async with self.download(image, format_, thumbnail=False) as sent:
                data = b"".join([chunk async for chunk in sent.chunks])
                assert hashlib.sha256(data).hexdigest() == sent.sha256
                return sent.sha256

        task = asyncio.create_task(read())
        self.reading.append(task)
        return task

    def read(self) -> int:
        """How many objects were read."""
        return sum(method == "get" for method, _ in self.blobs.calls)


@pytest.fixture
async def downloads() -> AsyncIterator[Downloads]:
    made = Downloads()
    yield made
    for task in made.reading:
        task.cancel()
    await asyncio.gather(*made.reading, return_exceptions=True)


async def test_what_many_ask_for_at_once_is_made_once(downloads: Downloads) -> None:
    (image,) = await downloads.stored()
    tasks = [downloads.begin(image) for _ in range(500)]
    assert len(set(await asyncio.gather(*tasks))) == 1
    assert (downloads.codecs.converted, downloads.read()) == (1, 1)


async def test_an_original_is_read_when_its_turn_has_come_and_one_caller_has_few(
    downloads: Downloads,
) -> None:
    downloads.codecs.gate.clear()
    waiting = [downloads.begin(image) for image in await downloads.stored("ana", 20)]
    await until(lambda: downloads.codecs.waiting == 1)
    (other,) = await downloads.stored("bob")
    others = downloads.begin(other)
    await until(lambda: downloads.codecs.waiting == 2)
    assert downloads.read() == 2
    downloads.codecs.gate.set()
    await asyncio.gather(others, *waiting)


@pytest.mark.parametrize("callers", [1, 8])
async def test_more_than_may_wait_are_refused_at_once(downloads: Downloads, callers: int) -> None:
    most = converting._MOST_OF_ONE if callers == 1 else converting._MOST
    downloads.codecs.gate.clear()
    images = [
        image
        for number in range(callers)
        for image in await downloads.stored(f"person {number}", most // min(callers, 4) + 1)
    ]
    tasks = [downloads.begin(image) for image in images]
    await until(lambda: sum(task.done() for task in tasks) == len(images) - most)
    downloads.codecs.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(outcome, CodecsOverloaded) for outcome in outcomes) == len(images) - most
    assert sum(isinstance(outcome, str) for outcome in outcomes) == most


async def test_what_is_ready_and_not_read_is_bounded_for_a_caller_and_for_all(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converting, "_MOST_BYTES_OF_ONE", 2 * len(ORIGINAL))
    monkeypatch.setattr(converting, "_MOST_BYTES", 3 * len(ORIGINAL))
    hers = await downloads.stored("ana", 3)
    (his,), (theirs,) = await downloads.stored("bob"), await downloads.stored("eve")

    async with AsyncExitStack() as stalled:

        async def open_(image: Image) -> None:
            await stalled.enter_async_context(downloads.download(image, Format.AVIF, thumbnail=False))

        await open_(hers[0])
        await open_(hers[1])
        with pytest.raises(CodecsOverloaded):
            await open_(hers[2])
        await open_(his)
        with pytest.raises(CodecsOverloaded):
            await open_(theirs)
    await downloads.begin(hers[2])


async def test_who_gives_up_makes_room_at_once(downloads: Downloads) -> None:
    downloads.codecs.gate.clear()
    images = await downloads.stored("ana", converting._MOST_OF_ONE)
    tasks = [downloads.begin(image) for image in images]
    await until(lambda: downloads.codecs.waiting == 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert downloads.codecs.waiting == 0
    downloads.codecs.gate.set()
    await asyncio.gather(*[downloads.begin(image) for image in images])


async def test_one_who_gives_up_leaves_the_others_what_they_wait_for(downloads: Downloads) -> None:
    (image,) = await downloads.stored()
    downloads.codecs.gate.clear()
    first, second = downloads.begin(image), downloads.begin(image)
    await until(lambda: downloads.codecs.waiting == 1)
    first.cancel()
    await asyncio.wait([first])
    downloads.codecs.gate.set()
    assert await second
    assert downloads.codecs.converted == 1


async def test_a_conversion_that_failed_is_tried_anew(downloads: Downloads) -> None:
    (image,) = await downloads.stored()
    downloads.codecs.full = True
    with pytest.raises(CodecsOverloaded):
        await downloads.begin(image)
    downloads.codecs.full = False
    assert await downloads.begin(image)


async def test_a_chat_in_the_same_process_is_told_to_try_again(downloads: Downloads) -> None:
    (image,) = await downloads.stored()

    async def find(*_: object) -> Image:
        return image

    service: Any = SimpleNamespace(find=find, download=downloads.download)
    downloads.codecs.full = True
    with pytest.raises(Unavailable):
        await LocalImages(service).image("ana", image.image_id, "", image.size_bytes - 1)


def _shorter(data: bytes) -> bytes:
    return data[:-1]


def _longer(data: bytes) -> bytes:
    return data + b"\0"


def _changed(data: bytes) -> bytes:
    return data[:-1] + b"\0"


@pytest.mark.parametrize("damage", [_shorter, _longer, _changed])
@pytest.mark.parametrize("format_", [Format.PNG, Format.JPEG])
async def test_a_damaged_original_is_told_as_such_in_every_format(
    downloads: Downloads, damage: Callable[[bytes], bytes], format_: Format
) -> None:
    (image,) = await downloads.stored(data=damage(ORIGINAL))
    with pytest.raises(ServiceError, match="damaged") as told:
        await downloads.begin(image, format_)
    assert told.value.reason == "INTERNAL"
    with pytest.raises(ServiceError, match="damaged"):
        await _thumbnail(downloads, image)


async def _thumbnail(downloads: Downloads, image: Image) -> None:
    async with downloads.download(image, Format.PNG, thumbnail=True):
        pass


async def test_an_image_that_goes_meanwhile_is_not_found(downloads: Downloads) -> None:
    (image,) = await downloads.stored()
    await downloads.blobs.delete([keys_of(image).original])
    for format_ in (Format.PNG, Format.WEBP):
        with pytest.raises(NotFound):
            await downloads.begin(image, format_)


async def test_a_thumbnail_that_is_made_anew_does_not_outlive_its_image(downloads: Downloads) -> None:
    (image,) = await downloads.stored()
    store = downloads.download.store
    await store.restore([image])
    keys = keys_of(image)

    async def read() -> None:
        async with downloads.download(image, Format.PNG, thumbnail=True) as sent:
            assert [chunk async for chunk in sent.chunks]

    await read()
    assert keys.thumbnail in downloads.blobs.objects
    await downloads.blobs.delete([keys.thumbnail])

    downloads.blobs.gate.clear()
    late = asyncio.create_task(read())
    await until(lambda: downloads.blobs.waiting == 1)
    # The image goes, and its objects with it, before the thumbnail is written.
    assert await store.delete(image.image_id, None)
    downloads.blobs.gate.set()
    with pytest.raises(NotFound):
        await late
    assert keys.thumbnail not in downloads.blobs.objects
