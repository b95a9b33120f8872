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
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that stands for no image, and why."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How many images the index had before, how many were seen in the object store, how many of these were put into the index, how many of
    the index have no object, and how many of those were taken out of it. `refused`: none were, since so many are missing that the store may
    be another one than theirs."""

    indexed: int
    seen: int
    added: int
    missing: int
    removed: int
    refused: bool
    unreadable: tuple[Unreadable, ...]


@dataclass(slots=True)
class _Found:
    ids: set[str] = field(default_factory=set)
    unreadable: list[Unreadable] = field(default_factory=list)
    added: int = 0
    indexed: int = 0


@dataclass(frozen=True, slots=True)
class Reindex:
    """Puts images into the index that are in the object store and missing there. It may run beside the suite, and more than once. Nothing
    of the object store is ever changed by it, now or later: it may be the wrong one."""

    store: ImageStore
    blobs: Blobs

    async def __call__(
        self, *, prune: bool, sure: bool = False, on_progress: Callable[[int], None]
    ) -> Reindexed:
        """Look through all objects; `on_progress` is told how many images were seen so far. With `prune`, images of the index whose objects
        are gone leave it; when nothing was seen, or when that is more than half of the index, with `sure` alone. Raises Unavailable."""
        began = datetime.now(UTC)
        found, waiting = _Found(), []
        async for image in self._images(found):
            waiting.append(image)
            if len(waiting) == _AT_ONCE:
                found.added += await self._restored(waiting)
                waiting = []
                on_progress(len(found.ids))
        found.added += await self._restored(waiting)
        on_progress(len(found.ids))
        missing = [image_id async for image_id in self._without_object(found, began)]
        # What was added just now may be another deployment's, and says nothing for the store.
        indexed = max(0, found.indexed - found.added)
        doubtful = bool(missing) and (not found.ids or 2 * len(missing) > indexed)
        refused = prune and doubtful and not sure
        removed = 0
        if prune and not refused:
            for start in range(0, len(missing), _AT_ONCE):
                removed += await self.store.forget(missing[start : start + _AT_ONCE])
        return Reindexed(
            indexed, len(found.ids), found.added, len(missing), removed, refused, tuple(found.unreadable)
        )

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
                _check_place(image, entry.key, original)
            except ValueError as error:
                found.unreadable.append(Unreadable(entry.key, str(error)))
                continue
            found.ids.add(image.image_id)
            yield image

    async def _restored(self, images: Sequence[Image]) -> int:
        """Put these into the index, and tell how many were missing there. One that was being removed since its record was read must not
        come back."""
        added = await self.store.restore(images)
        if added:
            for image in images:
                async with self.blobs.open(keys_of(image).record) as opened:
                    if opened is None:
                        added -= await self.store.forget([image.image_id])
        return added

    async def _without_object(self, found: _Found, began: datetime) -> AsyncIterator[str]:
        """The images of the index whose original is not in the object store."""
        after = None
        while True:
            page = await self.store.page(None, PageRequest(MAXIMUM_PAGE_SIZE, after))
            for image in page.items:
                # What was made meanwhile may be listed by nobody.
                if image.create_time >= began:
                    continue
                found.indexed += 1
                if image.image_id not in found.ids:
                    async with self.blobs.open(keys_of(image).original) as opened:
                        if opened is None:
                            yield image.image_id
            after = page.after
            if after is None:
                return


def _check_place(image: Image, key: str, original: str) -> None:
    # Raises ValueError.
    keys = keys_of(image)
    if keys.record != key:
        raise ValueError(f"it is the record of another image: {image.image_id}")
    if keys.original != original:
        raise ValueError("its image/original.png is not there")
