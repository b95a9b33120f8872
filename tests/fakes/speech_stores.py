"""Speech's table of one kind, empty, for the suites of its port."""

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
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from services.speech.generation.usage import usage_event
from services.speech.model import Conversion, Format, Generation, Order, Removal, Used
from services.speech.ports import ConversionStore
from services.speech.stores.records import SqlConversionStore
from tests.fakes.speech_memory import MemoryConversionStore

TTL = timedelta(seconds=60)
PAUSE = timedelta(seconds=30)
DIGEST = bytes(32)
USED = Used(5, 1230)
NOTHING = Used()


@dataclass(frozen=True)
class SpeechStores:
    """The store as one process has it; `other` is another process's. `database` is None in memory."""

    store: ConversionStore
    other: ConversionStore
    database: Database | None = None

    async def started(self, owner_id: str = "", **changes: Any) -> Generation:
        """A generation that runs."""
        made = new_generation(**changes)
        assert await self.store.begin(owner_id or new_id(), TTL, made, DIGEST) is None
        return made

    async def completed(self, text: str = "hello", **changes: Any) -> Conversion:
        """The conversion of a generation that has ended well."""
        made = await self.started(**changes)
        conversion = replace(conversion_of(made), text=text)
        assert await self.store.complete(conversion, USED, event_of(made))
        return conversion

    async def failed(self, **how: Any) -> Generation:
        """A generation that has failed, without a usage event."""
        made = await self.started()
        ending = {"free": True, "remove": True} | how
        assert await self.store.end(made.generation_id, State.FAILED, None, NOTHING, None, **ending)
        return made

    async def due(self) -> dict[str, Removal]:
        """The removals that are due, by conversion; they are taken."""
        return {removal.conversion_id: removal for removal in await self.store.due(PAUSE, 100)}

    async def pass_time(self, time: timedelta) -> None:
        """So much time goes by, for all that the store measures by its own clock."""
        if isinstance(self.store, MemoryConversionStore):
            self.store.advance(time)
            return
        for table, column in (
            ("generations", "expires_at"),
            ("removals", "due_at"),
            ("claims", "created_at"),
        ):
            await self.rows(
                f"update speech.{table} set {column} = {column} - %(time)s returning 1", time=time
            )

    async def empty(self) -> None:
        """Nothing is in PostgreSQL's tables any more."""
        for table in ("generations", "tts_conversions", "removals", "claims", "outbox"):
            await self.rows(f"delete from speech.{table} returning 1")

    async def waiting(self) -> set[str]:
        """The ids of the events in the outbox."""
        if isinstance(self.store, MemoryConversionStore):
            return set(self.store.waiting)
        return {event.event_id for event in await self.events()}

    async def delivered(self) -> None:
        """The events of the outbox are Analytics' now."""
        if isinstance(self.store, MemoryConversionStore):
            self.store.waiting.clear()
        else:
            await self.rows("delete from speech.outbox returning 1")

    async def events(self) -> list[usage_pb2.UsageEvent]:
        """The events in PostgreSQL's outbox."""
        found = await self.rows("select payload from speech.outbox order by event_id")
        return [usage_pb2.UsageEvent.FromString(payload) for (payload,) in found]

    async def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """What PostgreSQL answers, past the store."""
        assert self.database is not None
        async with self.database.connection() as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall()


def new_generation(
    user_id: str = "ana", *, create_time: datetime | None = None, **changes: Any
) -> Generation:
    """A call of a person that begins."""
    order = Order(
        "StreamSynthesize", 5, "espeak-ng", "espeak", "es-419", "es-419", Format.OGG_OPUS, 1.25, -2.5
    )
    made = Generation(
        generation_id=new_id(),
        user_id=user_id,
        api_key_id=user_id and f"key of {user_id}",
        request_id="",
        order=order,
        state=State.RUNNING,
        create_time=create_time or datetime.now(UTC),
    )
    return replace(made, **changes)


def conversion_of(made: Generation) -> Conversion:
    """What a generation has made."""
    order = made.order
    return Conversion(
        conversion_id=made.generation_id,
        user_id=made.user_id,
        api_key_id=made.api_key_id,
        request_id=made.request_id,
        text="hello",
        ssml="<speak>hello</speak>",
        model=order.model,
        provider=order.provider,
        voice=order.voice,
        language=order.language,
        format=order.format,
        sample_rate=48000,
        rate=order.rate,
        pitch=order.pitch,
        characters=USED.characters,
        duration_seconds=1.23,
        file_size_bytes=4321,
        sha256=hashlib.sha256(made.generation_id.encode()).hexdigest(),
        s3_bucket="voices",
        latency_ms=250,
        create_time=made.create_time,
        cost_usd=0.000075,
    )


def event_of(
    made: Generation,
    status: UsageStatus = UsageStatus.SUCCESS,
    reason: str = "",
    used: Used = USED,
    **changes: Any,
) -> UsageEvent:
    """What a generation used, which ends after 1.25 s, with the first audio after 40 ms."""
    end, first_audio = made.create_time + timedelta(milliseconds=1250), timedelta(milliseconds=40)
    return replace(usage_event(made, status, reason, used, first_audio, new_id(), end), **changes)


def ids(conversions: Sequence[Conversion]) -> list[str]:
    """Their ids, in their order."""
    return [conversion.conversion_id for conversion in conversions]


def memory_conversions() -> SpeechStores:
    """In memory, where all processes have the same."""
    store = MemoryConversionStore()
    return SpeechStores(store, store)


@asynccontextmanager
async def postgres_conversions(url: str) -> AsyncIterator[SpeechStores]:
    """On a migrated database, which is emptied first."""
    async with Database(url, min_size=1, max_size=8) as database:
        stores = SpeechStores(SqlConversionStore(database), SqlConversionStore(database), database)
        await stores.empty()
        yield stores
