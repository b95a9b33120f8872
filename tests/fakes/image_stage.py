"""Image's use cases over fakes: a store, objects and codecs in memory, and a provider that does as it is told."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from services.capabilities.generations.ends import Ends
from services.capabilities.generations.leases import Leases
from services.capabilities.generations.running import Generations
from services.capabilities.metering.meter import Meter
from services.capabilities.metering.metrics import ServiceUsage, UsageMetrics
from services.capabilities.upstream.errors import ModelNotReady
from services.capabilities.upstream.turns import Turns
from services.image.errors import ModelNotFound
from services.image.generation.ending import ImageEnder
from services.image.generation.filing import Filer
from services.image.generation.making import Maker
from services.image.generation.metrics import ImageMetrics
from services.image.generation.working import MakeImages
from services.image.model import Generation, Image, ImageCall, Size
from services.image.ports import CatalogModel, ProviderCall, ProviderImage
from services.image.usecases.generate import GenerateImage
from services.image.usecases.ordering import PlaceOrder
from services.kernel.ids import new_id
from services.kernel.principal import ANONYMOUS, Kind, Principal
from tests.fakes.blobs_memory import MemoryBlobs
from tests.fakes.image_codecs import PlainCodecs, picture
from tests.fakes.image_memory import MemoryImageStore

LEASE = timedelta(seconds=10)
SMALL, MIDDLE, LARGE = Size(256, 256), Size(512, 512), Size(1024, 1024)


class ScriptedProvider:
    """Makes pictures of one colour, each an image after the other. Raises `failures` first, one an attempt, behind so many images as `late` says;
    waits at `gate` before each image while that is closed. `calls` were asked, `cancelled` of them called off."""

    def __init__(self) -> None:
        self.calls: list[ProviderCall] = []
        self.failures: list[Exception] = []
        self.late = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.cancelled = 0
        self.data: bytes | None = None

    async def generate(self, call: ProviderCall) -> AsyncIterator[ProviderImage]:
        """See `image.ports.ImageProvider`."""
        self.calls.append(call)
        for index in range(call.count):
            await self._opened()
            if self.failures and index == self.late:
                raise self.failures.pop(0)
            data = picture(call.size) if self.data is None else self.data
            yield ProviderImage(data, f"revised {call.prompt}")

    async def _opened(self) -> None:
        self.waiting += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1


@dataclass
class ScriptedCatalog:
    """Keeps `image.ports.Catalog`'s promises with the models that it is given."""

    models: dict[str, CatalogModel]

    @property
    def default(self) -> CatalogModel:
        """See `image.ports.Catalog`."""
        return next(model for model in self.models.values() if model.ready)

    def find(self, name: str) -> CatalogModel:
        """See `image.ports.Catalog`."""
        if not name:
            return self.default
        if name not in self.models:
            raise ModelNotFound(name)
        if not self.models[name].ready:
            raise ModelNotReady(name, self.models[name].not_ready_reason)
        return self.models[name]


def model(provider: ScriptedProvider, **changed: Any) -> CatalogModel:
    """A model that can all."""
    values: dict[str, Any] = {
        "name": "flux",
        "provider_name": "studio",
        "upstream": "flux-1",
        "display_name": "Flux",
        "description": "",
        "provider": provider,
        "not_ready_reason": "",
        "sizes": (MIDDLE, SMALL, LARGE),
        "anonymous_sizes": (MIDDLE, SMALL),
        "styles": {"anime": "anime style"},
        "maximum_count": 4,
        "takes_seed": True,
        "takes_negative_prompt": True,
        "prices": {},
        "timeout": 30.0,
    }
    return CatalogModel(**{**values, **changed})


@dataclass
class ImageProcess:
    """What one process has: its maker, filer and generations over the deployment's store and objects."""

    generate: GenerateImage
    generations: Generations[Generation, Sequence[Image]]
    filer: Filer
    ends: Ends[Generation]
    leases: Leases[Generation]
    owner_id: str


@dataclass
class ImageStage:
    """A deployment."""

    store: MemoryImageStore = field(default_factory=MemoryImageStore)
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    codecs: PlainCodecs = field(default_factory=PlainCodecs)
    provider: ScriptedProvider = field(default_factory=ScriptedProvider)
    retries: int = 0
    most: int = 100
    at_once: int = 8
    lease: timedelta = LEASE
    catalog: ScriptedCatalog = field(init=False)

    def __post_init__(self) -> None:
        self.catalog = ScriptedCatalog({"flux": model(self.provider)})

    @asynccontextmanager
    async def process(self, *, embed_metadata: bool = True) -> AsyncIterator[ImageProcess]:
        """A process; its sweeper and its leases do not run by themselves."""
        owner_id = new_id()
        metrics = ImageMetrics(CollectorRegistry())
        meter = Meter(ServiceUsage("image", UsageMetrics(CollectorRegistry())), enabled=True)
        maker = Maker(
            self.store,
            self.blobs,
            self.codecs,
            meter,
            metrics,
            retries=self.retries,
            embed_metadata=embed_metadata,
        )
        filer = Filer(self.store, self.blobs, metrics)
        ends = Ends(ImageEnder(self.store, filer, meter))
        generations = Generations[Generation, Sequence[Image]](
            self.store, ends, owner_id=owner_id, lease=self.lease, most=self.most
        )
        make = MakeImages(maker, filer, Turns(self.at_once), metrics)
        yield ImageProcess(
            GenerateImage(self.store, PlaceOrder(self.catalog), generations, make),
            generations,
            filer,
            ends,
            Leases(self.store, ends, generations.known, owner_id, self.lease, "images"),
            owner_id,
        )
        await generations.aclose()
        await ends.aclose()
        await filer.aclose()

    def lines(self, user_id: str) -> list[dict[str, Any]]:
        """All lines of a person's history."""
        return [
            json.loads(line)
            for key, data in self.blobs.objects.items()
            if key.startswith(f"users/{user_id}/")
            for line in data.splitlines()
        ]

    def keys_of(self, image: Image) -> list[str]:
        """The keys that the image's id is in."""
        return [key for key in self.blobs.objects if image.image_id in key]


def person(name: str = "ana") -> Principal:
    """Somebody who is logged in."""
    return Principal(Kind.USER, str(uuid.uuid5(uuid.NAMESPACE_URL, name)))


def call(prompt: str = "a cat", request_id: str = "", **more: Any) -> ImageCall:
    """A call for images."""
    values = {"digest": repr((prompt, more)).encode().ljust(32)[:32], **more}
    return ImageCall(request_id=request_id, prompt=prompt, **values)


__all__ = ["ANONYMOUS"]
