"""Puts Image together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry

from services.capabilities.blobs.ports import Blobs
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
from services.capabilities.upstream.turns import Turns
from services.image.generation.ending import ImageEnder
from services.image.generation.filing import Filer
from services.image.generation.making import Maker
from services.image.generation.metrics import ImageMetrics
from services.image.generation.objects import user_folder
from services.image.generation.working import MakeImages
from services.image.model import Generation, Image
from services.image.ports import Catalog
from services.image.providers.adapters import Adapters
from services.image.providers.catalog import FileCatalog, configured_catalog
from services.image.providers.codecs.adapter import WorkerCodecs
from services.image.providers.procedural import ProceduralImages
from services.image.servicer import ImageServicer, UseCases
from services.image.stores.deletions import SqlDeletions
from services.image.stores.records import SqlImageStore
from services.image.usecases.converting import Conversions
from services.image.usecases.download import DownloadImage
from services.image.usecases.finding import DeleteImage, FindImage, ListImages
from services.image.usecases.generate import GenerateImage
from services.image.usecases.models import ListModels
from services.image.usecases.ordering import PlaceOrder
from services.infra.http.public import PublicFetch
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

NAME = "image"

# However long the images have taken, what they used gets a moment to be delivered.
_SHORTEST_FLUSH_SECONDS = 1.0
_ERASED_AT_ONCE = 100
# While one is worked on, the next one's original is read.
_CONVERSIONS_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class ImageService:
    """Image as it runs: what is served, and what others of this process may ask of it."""

    mounted: Mounted
    summarize: SummarizeUsage
    redeliver: RedeliverUsage
    catalog: Catalog
    find: FindImage
    download: DownloadImage


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
) -> AsyncIterator[ImageService]:
    """Image on an open database and object store, ready to be served; at the end its tasks and its worker processes are ended.

    `sole_owner` says that no other process can be at work on this database; `environ` has the keys that the catalog names; `revocations`
    tells who was deleted, and `sink` takes what was used (None: it waits); all have to outlive the block. Raises StartupError.
    """
    async with (
        limits_wiring.build(
            settings.limits,
            database,
            NAME,
            key=secret.derive("image.limits"),
            sole_owner=sole_owner,
            metrics=metrics,
        ) as limits,
        metering_wiring.build(settings.analytics, NAME, SqlOutbox(database, NAME), sink, metrics) as metering,
        aclosing(
            WorkerCodecs(workers=settings.image.workers, max_pixels=settings.image.max_pixels)
        ) as codecs,
        open_session() as http,
        aclosing(PublicFetch(connect_seconds=settings.image.connect_timeout)) as fetch,
    ):
        adapters, procedural = Adapters(http, fetch, settings.image), ProceduralImages(codecs)

        def load() -> FileCatalog:
            return configured_catalog(settings, environ, adapters, procedural)

        parts = _Parts(settings, database, blobs, codecs, metering, limits, secret, metrics)
        async with parts.serving(load, revocations, blobs_check, sole_owner=sole_owner) as service:
            yield service


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the service is made of."""

    settings: Settings
    database: Database
    blobs: Blobs
    codecs: WorkerCodecs
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
    ) -> AsyncIterator[ImageService]:
        settings, catalog = self.settings.image, load()
        store, owner_id = SqlImageStore(self.database), new_id()
        figures = ImageMetrics(CollectorRegistry() if self.metrics is None else self.metrics.registry)
        filer = Filer(store, self.blobs, figures)
        maker = Maker(
            store,
            self.blobs,
            self.codecs,
            self.metering.meter,
            figures,
            retries=settings.retries,
            embed_metadata=settings.embed_metadata,
        )
        make = MakeImages(maker, filer, Turns(settings.provider_calls), figures)
        ends = Ends(ImageEnder(store, filer, self.metering.meter))
        lease = timedelta(seconds=settings.lease_ttl)
        generations = Generations[Generation, Sequence[Image]](
            store, ends, owner_id=owner_id, lease=lease, most=settings.max_generations
        )
        leases = Leases(store, ends, generations.known, owner_id, lease, "images")
        figures.count_running(generations.__len__)
        deletions = DeletionFollower(
            revocations,
            SqlDeletions(self.database, generations.cancel_soon, self._erase),
            settle=SETTLE_SECONDS + self.settings.identity.offline_grace,
        )
        generate = GenerateImage(store, PlaceOrder(catalog), generations, make)
        use = self._use_cases(store, catalog, generate, filer)
        servicer = ImageServicer(
            use, self.blobs, use.find.tokens, self.secret.derive("image.digests"), settings.link_ttl
        )

        async def drain(grace: float) -> None:
            ends = time.monotonic() + grace
            await generations.drain(grace)
            await self.metering.drain(max(_SHORTEST_FLUSH_SECONDS, ends - time.monotonic()))

        async with running(
            leases=leases.run(),
            filing=filer.run(),
            retention=keep_bounded(
                store, filer.soon, timedelta(seconds=settings.anonymous_retention), "images"
            ),
            deletions=deletions.run(),
        ) as tasks:
            try:
                # Where others may be at work, they get the time to renew first, behind an outage of the database for example.
                if sole_owner:
                    await leases.start_alone()
                mounted = Mounted(
                    name=NAME,
                    servicers={"antiphon.image.v1.ImageService": servicer},
                    checks=(DatabaseCheck(self.database), blobs_check, TasksCheck(tasks)),
                    drain=drain,
                    reload=CatalogReload(NAME, catalog, load),
                    limits=self.limits,
                    meter=self.metering.calls,
                )
                yield ImageService(
                    mounted, use.summarize_usage, use.redeliver_usage, catalog, use.find, use.download
                )
            finally:
                await generations.aclose()
                await ends.aclose()
                await filer.aclose()

    def _use_cases(
        self, store: SqlImageStore, catalog: Catalog, generate: GenerateImage, filer: Filer
    ) -> UseCases:
        return UseCases(
            generate=generate,
            find=FindImage(store, OwnerTokens(self.secret.derive("image.owners"))),
            list_images=ListImages(store, PageTokens(self.secret.derive("image.pages"))),
            delete=DeleteImage(store, filer),
            download=DownloadImage(
                store,
                self.blobs,
                self.codecs,
                Conversions(_CONVERSIONS_PER_WORKER * self.settings.image.workers),
            ),
            list_models=ListModels(catalog),
            summarize_usage=SummarizeUsage(store),
            redeliver_usage=RedeliverUsage(store, self.settings.analytics.enabled),
        )

    async def _erase(self, user_id: str) -> None:
        """Remove all objects that are kept under a person's name."""
        keys = []
        async for entry in self.blobs.list(user_folder(user_id)):
            keys.append(entry.key)
            if len(keys) == _ERASED_AT_ONCE:
                await self.blobs.delete(keys)
                keys = []
        await self.blobs.delete(keys)
