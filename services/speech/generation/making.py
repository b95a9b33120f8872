"""The making of a conversion: spoken into a recording, its objects stored, its row written."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import structlog

from services.capabilities.blobs.ports import Blobs
from services.capabilities.generations.keeping import kept
from services.capabilities.generations.running import Progress
from services.capabilities.metering.meter import Meter
from services.capabilities.metering.model import UsageStatus
from services.capabilities.upstream.errors import ProviderFailure
from services.capabilities.upstream.telling import tell_failure
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.together import together
from services.speech.errors import EngineStopped, NotStored
from services.speech.generation.documents import JSON, input_json, record_json
from services.speech.generation.metrics import SpeechMetrics
from services.speech.generation.objects import Keys
from services.speech.generation.recording import Recording, Recordings
from services.speech.generation.usage import usage_event
from services.speech.model import Conversion, Ending, Generation, Script, Used, Voice
from services.speech.ports import CatalogModel, ConversionStore, Task

log = structlog.get_logger(__name__)
T = TypeVar("T")

STREAM = "StreamSynthesize"

_OBJECT_ATTEMPTS = 3
_OBJECT_PAUSE_SECONDS = 0.25
# What is not larger is stored at once, and not in pieces.
_WHOLE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made, of what, and by whom."""

    generation: Generation
    script: Script
    model: CatalogModel
    voice: Voice


class Maker:
    """Makes conversions."""

    def __init__(
        self,
        store: ConversionStore,
        blobs: Blobs,
        recordings: Recordings,
        meter: Meter,
        metrics: SpeechMetrics,
        *,
        bucket: str,
    ) -> None:
        """`bucket` is the one that objects are in, empty for a folder."""
        self._store = store
        self._blobs = blobs
        self._recordings = recordings
        self._meter = meter
        self._metrics = metrics
        self._bucket = bucket

    def work(self, plan: Plan) -> Callable[[Progress], Awaitable[Conversion]]:
        """What makes the conversion once its generation is begun; its recording can be watched from then on."""
        recording = self._recordings.begin(plan.generation, gives_words=plan.model.gives_word_timings)
        return partial(self._make, plan, recording)

    async def _make(self, plan: Plan, recording: Recording, progress: Progress) -> Conversion:
        """Raises what the speaker raises, AudioTooLong, SpoolFull, NotStored, Superseded, IndexLost and Unavailable."""
        # What was spoken by then is used, however it ends: it has taken the engine's time, or was paid for.
        progress.used = recording
        with recording.made():
            began = time.perf_counter()
            ending = await self._spoken(plan, recording)
            began = self._observe("spoken", began)
            # It is all there, and may have been paid for: it is kept, whoever is gone.
            progress.arrived()
            progress.touched()
            await recording.end(ending)
            conversion = await self._stored(plan, recording, ending)
            began = self._observe("objects", began)
            used = Used(plan.script.characters, recording.milliseconds)
            await self._indexed(plan.generation, conversion, used, recording)
            self._observe("index", began)
            self._metrics.audio_seconds.inc(conversion.duration_seconds)
            return conversion

    async def _spoken(self, plan: Plan, recording: Recording) -> Ending:
        order, began = plan.generation.order, time.perf_counter()
        task = Task(
            upstream=plan.model.upstream,
            voice=plan.voice.upstream,
            language=order.language,
            format=order.format,
            rate=order.rate,
            pitch=order.pitch,
            segments=plan.script.segments,
        )
        try:
            async with aclosing(plan.model.speaker.speak(task)) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    if isinstance(batch, Ending):
                        return batch
                    if batch.pieces and not recording.pieces:
                        self._observe("first_audio", began)
                    await recording.add(batch)
        except ProviderFailure as error:
            error.metadata = {
                "model": plan.model.name,
                "provider": plan.model.provider_name,
                **error.metadata,
            }
            self._failed(error)
            raise
        raise EngineStopped

    async def _stored(self, plan: Plan, recording: Recording, ending: Ending) -> Conversion:
        """The objects are in the object store: the audio, then what was asked for, and the record that tells of all."""
        generation = plan.generation
        day = generation.create_time.astimezone(UTC).date()
        keys = Keys(generation.generation_id, day, generation.order.format)
        sha256 = await _tried(lambda: self._audio_stored(keys.audio, recording))
        conversion = self._conversion(plan, recording, ending, sha256)
        # Of a long text they are megabytes.
        documents = await asyncio.to_thread(
            lambda: {
                keys.input: input_json(generation, plan.script),
                keys.record: record_json(conversion, recording),
            }
        )
        await _tried(lambda: together([self._blobs.put(key, data, JSON) for key, data in documents.items()]))
        return conversion

    async def _audio_stored(self, key: str, recording: Recording) -> str:
        """The audio is in the object store. Returns its SHA-256 in hexadecimal digits."""
        spool, digest = recording.spool, hashlib.sha256()
        content_type = recording.generation.order.format.content_type
        if spool.size <= _WHOLE_BYTES:
            data = await spool.read(0, spool.size)
            digest.update(data)
            await self._blobs.put(key, data, content_type)
        else:
            await self._blobs.put_pieces(key, spool.blocks(digest), content_type)
        return digest.hexdigest()

    async def _indexed(
        self, generation: Generation, conversion: Conversion, used: Used, recording: Recording
    ) -> None:
        """The conversion is in the table. Behind this it is there for its owner. Raises Superseded and IndexLost."""
        first_audio = recording.first_audio if generation.order.operation == STREAM else None
        event = self._meter.taken(
            usage_event(generation, UsageStatus.SUCCESS, "", used, first_audio, new_id(), datetime.now(UTC))
        )
        await kept(lambda: self._store.complete(conversion, used, event))
        self._meter.stored(event)

    def _conversion(self, plan: Plan, recording: Recording, ending: Ending, sha256: str) -> Conversion:
        generation, order = plan.generation, plan.generation.order
        latency = datetime.now(UTC) - generation.create_time
        return Conversion(
            conversion_id=generation.generation_id,
            user_id=generation.user_id,
            api_key_id=generation.api_key_id,
            request_id=generation.request_id,
            text=plan.script.text,
            ssml=plan.script.ssml,
            model=order.model,
            provider=order.provider,
            voice=order.voice,
            language=order.language,
            format=order.format,
            sample_rate=ending.sample_rate,
            rate=order.rate,
            pitch=order.pitch,
            characters=plan.script.characters,
            duration_seconds=round(ending.samples / ending.sample_rate, 2),
            file_size_bytes=recording.spool.size,
            sha256=sha256,
            s3_bucket=self._bucket,
            latency_ms=max(0, round(latency.total_seconds() * 1000)),
            create_time=generation.create_time,
            cost_usd=ending.cost_usd,
        )

    def _failed(self, error: ProviderFailure) -> None:
        self._metrics.provider_failures.labels(error.metadata["model"], error.reason).inc()
        tell_failure("a model did not speak", error)

    def _observe(self, stage: str, began: float) -> float:
        """A stage is over that began then. Returns when the next one begins."""
        now = time.perf_counter()
        self._metrics.seconds.labels(stage).observe(now - began)
        return now


async def _tried(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """What was spoken may have been paid for, so that the object store gets more than one chance. Raises NotStored."""
    for attempt in range(1, _OBJECT_ATTEMPTS):
        try:
            return await work()
        except Unavailable:
            await asyncio.sleep(_OBJECT_PAUSE_SECONDS * attempt)
    try:
        return await work()
    except Unavailable as error:
        raise NotStored from error
