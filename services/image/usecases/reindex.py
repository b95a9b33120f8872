"""The index made anew of the objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.capabilities.blobs.ports import Blobs
from services.image.generation.objects import image_of_record, keys_of
from services.image.model import Image
from services.image.ports import ImageStore
from services.kernel.paging import MAXIMUM_PAGE_SIZE, PageRequest

_ROOT = "requests/"
_RECORD = "/record.json"
# A record has a prompt of at most 4,000 characters, twice where the provider has another one, and little else.
_LARGEST_RECORD = 1024**2
_RESTORED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How many images were seen in the object store, how many of them were put into the index, how many of the index have no object, and how many of
    those were taken out of it; `unreadable` are the keys of records that are none, or without an image."""

    seen: int
    added: int
    missing: int
    removed: int
    unreadable: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    ids: set[str] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)
    added: int = 0


@dataclass(frozen=True, slots=True)
class Reindex:
    """Puts images into the index that are in the object store and missing there. It may run beside the suite, and more than once."""

    store: ImageStore
    blobs: Blobs

    async def __call__(self, *, prune: bool, on_progress: Callable[[int], None]) -> Reindexed:
        """Look through all objects; `on_progress` is told how many images were seen so far. With `prune`, images of the index whose objects are gone
        leave it. Raises Unavailable."""
        began = datetime.now(UTC)
        found, waiting = _Found(), []
        async for image in self._images(found):
            waiting.append(image)
            if len(waiting) == _RESTORED_AT_ONCE:
                found.added += await self._restored(waiting)
                waiting = []
                on_progress(len(found.ids))
        found.added += await self._restored(waiting)
        on_progress(len(found.ids))
        missing = [image async for image in self._without_object(found.ids, began)]
        removed = 0
        if prune:
            for image in missing:
                removed += await self.store.delete(image.image_id, None)
        return Reindexed(len(found.ids), found.added, len(missing), removed, tuple(found.unreadable))

    async def _images(self, found: _Found) -> AsyncIterator[Image]:
        """The images whose record and original are there."""
        original = ""
        async for entry in self.blobs.list(_ROOT):
            if not entry.key.endswith(_RECORD):
                # In the order of keys an image comes right before its record, but for what was asked for.
                original = entry.key if entry.key.endswith("/image/original.png") else original
                continue
            try:
                blob = await self.blobs.get(entry.key, _LARGEST_RECORD)
                if blob is None:
                    continue
                image = image_of_record(blob.data)
            except ValueError:
                found.unreadable.append(entry.key)
                continue
            keys = keys_of(image)
            if keys.record != entry.key or keys.original != original:
                found.unreadable.append(entry.key)
                continue
            found.ids.add(image.image_id)
            yield image

    async def _restored(self, images: Sequence[Image]) -> int:
        """Put these into the index, and tell how many were missing there. One that was being removed since its record was read must not come back."""
        added = await self.store.restore(images)
        if added:
            for image in images:
                async with self.blobs.open(keys_of(image).record) as opened:
                    if opened is None:
                        added -= await self.store.delete(image.image_id, None)
        return added

    async def _without_object(self, seen: set[str], began: datetime) -> AsyncIterator[Image]:
        """The images of the index whose original is not in the object store."""
        after = None
        while True:
            page = await self.store.page(None, PageRequest(MAXIMUM_PAGE_SIZE, after))
            for image in page.items:
                # What was made meanwhile may be listed by nobody.
                if image.image_id not in seen and image.create_time < began:
                    async with self.blobs.open(keys_of(image).original) as opened:
                        if opened is None:
                            yield image
            after = page.after
            if after is None:
                return
