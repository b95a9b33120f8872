"""Puts Speech together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry

from services.capabilities.blobs.ports import Blobs
from services.capabilities.generations.calling import RepeatableCall
from services.capabilities.generations.ends import Ends
from services.capabilities.generations.leases import Leases
from services.capabilities.generations.retention import keep_bounded
from services.capabilities.generations.running import Generations
from services.capabilities.identity.deletions import SETTLE_SECONDS, DeletionFollower
from services.capabilities.identity.ports import RevocationSource
from services.capabilities.limits import wiring as limits_wiring
from services.capabilities.metering import wiring as metering_wiring
from services.capabilities.metering.ports import Sink
from services.capabilities.metering.stores.sql import SqlOutbox
from services.capabilities.metering.usecases import RedeliverUsage, SummarizeUsage
from services.capabilities.metering.wiring import Metering
from services.capabilities.upstream.catalogs import CatalogReload
from services.infra.http.session import open_session
from services.infra.postgres.checks import DatabaseCheck
from services.infra.postgres.database import Database
from services.kernel.health import HealthCheck
from services.kernel.ids import new_id
from services.kernel.limits import RateLimits
from services.kernel.ownership import OwnerTokens
from services.kernel.paging import PageTokens
from services.kernel.secret import DeploymentSecret
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.tasks import TasksCheck, running
from services.settings import Settings
from services.speech.errors import ConversionDeleted
from services.speech.generation.ending import SpeechEnder
from services.speech.generation.making import Maker
from services.speech.generation.metrics import SpeechMetrics
from services.speech.generation.recording import Recordings
from services.speech.generation.spool import SpoolSpace
from services.speech.generation.sweeping import Sweeper
from services.speech.model import Conversion, Generation
from services.speech.ports import Catalog
from services.speech.providers.adapters import Adapters
from services.speech.providers.catalog import BuiltIn, FileCatalog, configured_catalog
from services.speech.providers.espeak.adapter import EspeakSpeaker, installed
from services.speech.providers.studio import WorkerStudio
from services.speech.servicer import SpeechServicer, UseCases
from services.speech.stores.deletions import SqlDeletions
from services.speech.stores.records import SqlConversionStore
from services.speech.usecases.download import DownloadAudio
from services.speech.usecases.finding import DeleteConversion, FindConversion, ListConversions
from services.speech.usecases.offers import ListModels, ListVoices
from services.speech.usecases.ordering import PlaceOrder
from services.speech.usecases.stream import StreamSynthesize
from services.speech.usecases.synthesize import Preparation, Synthesize

NAME = "speech"

# However long texts have taken, what they used gets a moment to be delivered.
_SHORTEST_FLUSH_SECONDS = 1.0
# They start when they are wanted, and calls of providers take turns: this many are never too few.
_STUDIO_WORKERS = 256


@dataclass(frozen=True, slots=True)
class SpeechService:
    """Speech as it runs: what is served, and what others of this process may ask of it."""

    mounted: Mounted
    summarize: SummarizeUsage
    redeliver: RedeliverUsage
    catalog: Catalog


@asynccontextmanager
async def build(
    settings: Settings,
    database: Database,
    blobs: Blobs,
    secret: DeploymentSecret,
    *,
    sole_owner: bool,
    environ: Mapping[str, str],
    revocations: RevocationSource,
    blobs_check: HealthCheck,
    sink: Sink | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[SpeechService]:
    """Speech on an open database and object store, ready to be served; at the end its tasks and its worker processes are ended.

    `sole_owner` says that no other process can be at work on this database; `environ` has the keys that the catalog names; `revocations`
    tells who was deleted, and `sink` takes what was used (None: it waits); all have to outlive the block. Raises StartupError.
    """
    speech = settings.speech
    async with (
        limits_wiring.build(
            settings.limits,
            database,
            NAME,
            key=secret.derive("speech.limits"),
            sole_owner=sole_owner,
            metrics=metrics,
        ) as limits,
        metering_wiring.build(settings.analytics, NAME, SqlOutbox(database, NAME), sink, metrics) as metering,
        aclosing(EspeakSpeaker(workers=speech.workers)) as espeak,
        aclosing(WorkerStudio(workers=_STUDIO_WORKERS)) as studio,
        open_session() as http,
    ):
        adapters = Adapters(http, studio, speech)
        built_in = BuiltIn(espeak, installed(), adapters.gtts())

        def load() -> FileCatalog:
            return configured_catalog(settings, environ, adapters, built_in)

        parts = _Parts(settings, database, blobs, espeak, metering, limits, secret, metrics)
        async with parts.serving(load, revocations, blobs_check, sole_owner=sole_owner) as service:
            yield service


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the service is made of."""

    settings: Settings
    database: Database
    blobs: Blobs
    espeak: EspeakSpeaker
    metering: Metering
    limits: RateLimits
    secret: DeploymentSecret
    metrics: Metrics | None

    @asynccontextmanager
    async def serving(
        self,
        load: Callable[[], FileCatalog],
        revocations: RevocationSource,
        blobs_check: HealthCheck,
        *,
        sole_owner: bool,
    ) -> AsyncIterator[SpeechService]:
        settings, catalog = self.settings.speech, load()
        store, owner_id = SqlConversionStore(self.database), new_id()
        figures = SpeechMetrics(CollectorRegistry() if self.metrics is None else self.metrics.registry)
        sweeper = Sweeper(store, self.blobs, figures)
        # On the disk of the data, since that of `/tmp` may be memory.
        recordings = Recordings(
            SpoolSpace(self.settings.data_dir / "spool", settings.spool_bytes),
            longest=settings.max_audio,
            anonymous_longest=settings.anonymous_audio,
        )
        maker = Maker(store, self.blobs, recordings, self.metering.meter, figures, bucket=self._bucket)
        ends = Ends(SpeechEnder(store, self.metering.meter, sweeper.soon))
        lease = timedelta(seconds=settings.lease_ttl)
        generations: Generations[Generation, Conversion] = Generations(
            store, ends, owner_id=owner_id, lease=lease, most=settings.max_generations
        )
        leases = Leases(store, ends, generations.known, owner_id, lease, "conversions")
        figures.count_running(generations.__len__)
        deletions = DeletionFollower(
            revocations,
            SqlDeletions(self.database, generations.cancel_soon),
            settle=SETTLE_SECONDS + self.settings.identity.offline_grace,
        )
        use = self._use_cases(store, catalog, generations, recordings, maker, sweeper)
        servicer = SpeechServicer(
            use,
            use.find.tokens,
            self.secret.derive("speech.digests"),
            settings.max_characters,
            settings.anonymous_characters,
        )

        async def drain(grace: float) -> None:
            ends = time.monotonic() + grace
            await generations.drain(grace)
            await self.metering.drain(max(_SHORTEST_FLUSH_SECONDS, ends - time.monotonic()))

        async with (
            running(warmth=self.espeak.warm_up()),
            running(
                leases=leases.run(),
                removals=sweeper.run(),
                retention=keep_bounded(
                    store, sweeper.soon, timedelta(seconds=settings.anonymous_retention), "conversions"
                ),
                deletions=deletions.run(),
            ) as tasks,
        ):
            try:
                # Where others may be at work, they get the time to renew first, behind an outage of the database for example.
                if sole_owner:
                    await leases.start_alone()
                mounted = Mounted(
                    name=NAME,
                    servicers={"antiphon.speech.v1.SpeechService": servicer},
                    checks=(DatabaseCheck(self.database), blobs_check, TasksCheck(tasks)),
                    drain=drain,
                    reload=CatalogReload(NAME, catalog, load),
                    limits=self.limits,
                    meter=self.metering.calls,
                )
                yield SpeechService(mounted, use.summarize_usage, use.redeliver_usage, catalog)
            finally:
                await generations.aclose()
                await ends.aclose()

    @property
    def _bucket(self) -> str:
        blobs = self.settings.blobs
        return blobs.s3_bucket if blobs.is_s3 else ""

    def _use_cases(
        self,
        store: SqlConversionStore,
        catalog: Catalog,
        generations: Generations[Generation, Conversion],
        recordings: Recordings,
        maker: Maker,
        sweeper: Sweeper,
    ) -> UseCases:
        settings = self.settings.speech
        order = PlaceOrder(catalog, settings.max_characters, settings.anonymous_characters)
        prepare = Preparation(order, maker)
        call = RepeatableCall(store, generations, store.conversion, ConversionDeleted)
        return UseCases(
            synthesize=Synthesize(prepare, call),
            stream=StreamSynthesize(prepare, call, generations, recordings, self.blobs),
            find=FindConversion(store, OwnerTokens(self.secret.derive("speech.owners"))),
            list_conversions=ListConversions(store, PageTokens(self.secret.derive("speech.pages"))),
            delete=DeleteConversion(store, sweeper.soon),
            download=DownloadAudio(store, self.blobs),
            list_voices=ListVoices(catalog),
            list_models=ListModels(catalog),
            summarize_usage=SummarizeUsage(store),
            redeliver_usage=RedeliverUsage(store, self.settings.analytics.enabled),
        )
