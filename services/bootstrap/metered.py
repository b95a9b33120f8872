"""The services whose calls are metered, and Analytics, each with its way to the others: in this process or by their addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.bootstrap.peers import channel_to
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.metering.model import ServiceType, Unit
from services.kernel.secret import DeploymentSecret
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.settings import Settings

if TYPE_CHECKING:
    from services.analytics.ports import CatalogPrice, ServiceBooks
    from services.analytics.wiring import Analytics
    from services.capabilities.identity.ports import RevocationSource
    from services.capabilities.metering.ports import Sink
    from services.chat.ports import ImageSource
    from services.chat.wiring import Chat
    from services.image.wiring import ImageService
    from services.infra.postgres.database import Database


@dataclass(frozen=True, slots=True)
class MeteredServices:
    """What builds them. What is opened is closed by `stack`, in reverse."""

    settings: Settings
    services: Sequence[str]
    database: Database | None
    secret: DeploymentSecret
    sole_owner: bool
    environ: Mapping[str, str]
    revocations: RevocationSource
    metrics: Metrics
    stack: AsyncExitStack

    async def built(self) -> list[Mounted]:
        """Those of the services that are metered, and Analytics, which outlives them: what they record while they stop is still delivered."""
        analytics = await self._analytics() if "analytics" in self.services else None
        books: dict[ServiceType, ServiceBooks] = {}
        mounted = []
        images: ImageService | None = None
        if "image" in self.services:
            images = await self._image(self._sink("image", analytics))
            mounted.append(images.mounted)
        if "chat" in self.services:
            chat = await self._chat(self._sink("chat", analytics), self._images_for_chat(images))
            mounted.append(chat.mounted)
            if analytics is not None:
                books[ServiceType.LLM_CHAT] = _chat_books(chat)
        if analytics is not None:
            if images is not None:
                books[ServiceType.TEXT_TO_IMAGE] = _image_books(images)
            books = self._books_elsewhere() | books
            mounted.append(await self.stack.enter_async_context(analytics.serving(books)))
        return mounted

    @property
    def _tokens(self) -> ServiceTokens:
        return ServiceTokens(self.secret, "+".join(self.services))

    async def _analytics(self) -> Analytics:
        from services.analytics import wiring

        return await self.stack.enter_async_context(
            wiring.build(
                self.settings,
                self.database,
                self.secret,
                sole_owner=self.sole_owner,
                revocations=self.revocations,
                metrics=self.metrics,
            )
        )

    async def _chat(self, sink: Sink | None, pictures_of: ImageSource | None) -> Chat:
        from services.chat import wiring

        return await self.stack.enter_async_context(
            wiring.build(
                self.settings,
                self.database,
                self.secret,
                sole_owner=self.sole_owner,
                environ=self.environ,
                revocations=self.revocations,
                metrics=self.metrics,
                sink=sink,
                pictures_of=pictures_of,
            )
        )

    async def _image(self, sink: Sink | None) -> ImageService:
        from services.capabilities.blobs import wiring as blobs_wiring
        from services.image import wiring

        assert self.database is not None
        objects = self.settings.blobs
        blobs = await self.stack.enter_async_context(blobs_wiring.build(objects, self.settings.data_dir))
        return await self.stack.enter_async_context(
            wiring.build(
                self.settings,
                self.database,
                blobs,
                self.secret,
                sole_owner=self.sole_owner,
                environ=self.environ,
                revocations=self.revocations,
                blobs_check=blobs_wiring.BlobsCheck(blobs),
                metrics=self.metrics,
                sink=sink,
            )
        )

    def _images_for_chat(self, images: ImageService | None) -> ImageSource | None:
        if images is not None:
            from services.bootstrap.images import LocalImages

            return LocalImages(images)
        if self.settings.peers.image is None:
            return None
        from antiphon.image.v1 import image_pb2_grpc

        from services.chat.providers.image_service import ImagesByRpc

        channel = channel_to(self.settings.peers.image)
        self.stack.push_async_exit(channel)
        return ImagesByRpc(image_pb2_grpc.ImageServiceStub(channel), self._tokens)

    def _sink(self, service: str, analytics: Analytics | None) -> Sink | None:
        if analytics is not None:
            return analytics.sink(service)
        if self.settings.peers.analytics is None:
            return None
        from antiphon.analytics.v1 import analytics_pb2_grpc

        from services.capabilities.metering.providers.rpc import SinkByRpc

        channel = channel_to(self.settings.peers.analytics)
        self.stack.push_async_exit(channel)
        return SinkByRpc(analytics_pb2_grpc.AnalyticsServiceStub(channel), self._tokens)

    def _books_elsewhere(self) -> dict[ServiceType, ServiceBooks]:
        """The books of services whose addresses are known."""
        from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
        from antiphon.image.v1 import image_pb2, image_pb2_grpc

        from services.analytics.providers.rpc_books import BooksByRpc, chat_prices, image_prices

        books: dict[ServiceType, ServiceBooks] = {}
        peers = self.settings.peers
        if peers.chat is not None and "chat" not in self.services:
            channel = channel_to(peers.chat)
            self.stack.push_async_exit(channel)
            books[ServiceType.LLM_CHAT] = BooksByRpc(
                "Chat", chat_pb2_grpc.ChatServiceStub(channel), chat_pb2, self._tokens, chat_prices
            )
        if peers.image is not None and "image" not in self.services:
            channel = channel_to(peers.image)
            self.stack.push_async_exit(channel)
            books[ServiceType.TEXT_TO_IMAGE] = BooksByRpc(
                "Image", image_pb2_grpc.ImageServiceStub(channel), image_pb2, self._tokens, image_prices
            )
        return books


def _chat_books(chat: Chat) -> ServiceBooks:
    from services.analytics.ports import CatalogPrice
    from services.bootstrap.books import LocalBooks

    def prices() -> Iterable[CatalogPrice]:
        for model in chat.catalog.models.values():
            for unit, price in model.prices.items():
                yield CatalogPrice(model.name, unit, "", price)

    return LocalBooks(chat.summarize, chat.redeliver, prices)


def _image_books(images: ImageService) -> ServiceBooks:
    from services.analytics.ports import CatalogPrice
    from services.bootstrap.books import LocalBooks

    def prices() -> Iterable[CatalogPrice]:
        for model in images.catalog.models.values():
            for size, price in model.prices.items():
                yield CatalogPrice(model.name, Unit.IMAGES, size, price)

    return LocalBooks(images.summarize, images.redeliver, prices)
