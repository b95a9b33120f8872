"""Image's index of one kind, empty, for the suites of its port."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from antiphon.usage.v1 import usage_pb2

from services.capabilities.generations.model import State
from services.capabilities.metering.model import UsageEvent, UsageStatus
from services.image.generation.usage import usage_event
from services.image.model import Filing, Generation, Image, Order, Size
from services.image.ports import ImageStore
from services.image.stores.records import SqlImageStore
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.image_memory import MemoryImageStore

TTL = timedelta(seconds=60)
DIGEST = bytes(32)


@dataclass(frozen=True)
class ImageStores:
    """The store as one process has it; `other` is another process's. `database` is None in memory."""

    store: ImageStore
    other: ImageStore
    database: Database | None = None

    async def started(self, owner_id: str = "", **changes: Any) -> Generation:
        """A generation that runs."""
        made = new_generation(**changes)
        assert await self.store.begin(owner_id or new_id(), TTL, made, DIGEST) is None
        return made

    async def completed(self, **changes: Any) -> list[Image]:
        """The images of a generation that has ended well, which are still to be filed."""
        made = await self.started(**changes)
        images = images_of(made)
        assert await self.store.complete(made.generation_id, images, event_of(made))
        return images

    async def filed(self) -> None:
        """Nothing is left to be filed that is due."""
        owner_id = new_id()
        while taken := await self.store.take(owner_id, TTL):
            await self.store.filed(taken, TTL)
            await self.store.leave(owner_id, list({filing.group for filing in taken}))

    async def taken(self, owner_id: str = "", **how: Any) -> dict[str, Filing]:
        """What is due, by image; it is left to others at once."""
        owner_id = owner_id or new_id()
        taken = await self.store.take(owner_id, TTL, **how)
        await self.store.leave(owner_id, [filing.group for filing in taken])
        return {filing.image_id: filing for filing in taken}

    async def pass_time(self, time: timedelta) -> None:
        """So much time goes by, for all that the store measures by its own clock."""
        if isinstance(self.store, MemoryImageStore):
            self.store.advance(time)
            return
        for table, column in (
            ("generations", "expires_at"),
            ("filings", "due_at"),
            ("filing_leases", "expires_at"),
            ("claims", "created_at"),
        ):
            await self.rows(f"update image.{table} set {column} = {column} - %(time)s returning 1", time=time)

    async def empty(self) -> None:
        """Nothing is in PostgreSQL's tables any more."""
        for table in ("generations", "images", "filings", "filing_leases", "claims", "outbox"):
            await self.rows(f"delete from image.{table} returning 1")

    async def waiting(self) -> set[str]:
        """The ids of the events in the outbox."""
        if isinstance(self.store, MemoryImageStore):
            return set(self.store.waiting)
        return {event.event_id for event in await self.events()}

    async def delivered(self) -> None:
        """The events of the outbox are Analytics' now."""
        if isinstance(self.store, MemoryImageStore):
            self.store.waiting.clear()
        else:
            await self.rows("delete from image.outbox returning 1")

    async def events(self) -> list[usage_pb2.UsageEvent]:
        """The events in PostgreSQL's outbox."""
        found = await self.rows("select payload from image.outbox order by event_id")
        return [usage_pb2.UsageEvent.FromString(payload) for (payload,) in found]

    async def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """What PostgreSQL answers, past the store."""
        assert self.database is not None
        async with self.database.connection() as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall()


def new_generation(
    user_id: str = "ana", *, count: int = 1, create_time: datetime | None = None, **changes: Any
) -> Generation:
    """A call of a person that begins."""
    # What was asked for in words stands with the images alone.
    order = Order("", "", Size(512, 256), "ink", "procedural", "antiphon", 7, count)
    made = Generation(
        generation_id=new_id(),
        image_ids=tuple(new_id() for _ in range(count)),
        user_id=user_id,
        api_key_id=user_id and f"key of {user_id}",
        request_id="",
        order=order,
        state=State.RUNNING,
        create_time=create_time or datetime.now(UTC),
    )
    return replace(made, **changes)


def images_of(made: Generation) -> list[Image]:
    """What a generation has made."""
    order = made.order
    return [
        Image(
            image_id=image_id,
            generation_id=made.generation_id,
            user_id=made.user_id,
            api_key_id=made.api_key_id,
            request_id=made.request_id,
            prompt="a cat",
            negative_prompt="a dog",
            size=str(order.size),
            style=order.style,
            model=order.model,
            provider=order.provider,
            seed=None if order.seed is None else order.seed + index,
            index=index,
            width=order.size.width,
            height=order.size.height,
            sha256=hashlib.sha256(image_id.encode()).hexdigest(),
            size_bytes=1234 + index,
            revised_prompt="a tabby cat",
            processing_time_ms=250,
            create_time=made.create_time,
        )
        for index, image_id in enumerate(made.image_ids)
    ]


def event_of(
    made: Generation, status: UsageStatus = UsageStatus.SUCCESS, reason: str = "", **changes: Any
) -> UsageEvent:
    """What a generation used, which ends after 1.25 s."""
    images = made.order.count if status is UsageStatus.SUCCESS else 0
    end = made.create_time + timedelta(milliseconds=1250)
    return replace(usage_event(made, status, reason, images, new_id(), end), **changes)


def ids(images: Sequence[Image]) -> list[str]:
    """Their ids, in their order."""
    return [image.image_id for image in images]


def memory_images() -> ImageStores:
    """In memory, where all processes have the same."""
    store = MemoryImageStore()
    return ImageStores(store, store)


@asynccontextmanager
async def postgres_images(url: str) -> AsyncIterator[ImageStores]:
    """On a migrated database, which is emptied first."""
    async with Database(url, min_size=1, max_size=8) as database:
        stores = ImageStores(SqlImageStore(database), SqlImageStore(database), database)
        await stores.empty()
        yield stores
