"""The services whose calls are metered, and Analytics, each with its way to the others: in this process or by their addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from services.bootstrap.peer_credentials import PeerTls
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
    from services.capabilities.blobs.watched import WatchedBlobs
    from services.capabilities.identity.ports import RevocationSource
    from services.capabilities.metering.ports import Sink
    from services.chat.ports import ImageSource
    from services.chat.wiring import Chat
    from services.image.wiring import ImageService
    from services.infra.postgres.database import Database
    from services.speech.wiring import SpeechService


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
    peer_tls: PeerTls
    stack: AsyncExitStack

    async def built(self) -> list[Mounted]:
        """Those of the services that are metered, and Analytics, which outlives them: what they record while they stop is still delivered."""
        analytics = await self._analytics() if "analytics" in self.services else None
        books: dict[ServiceType, ServiceBooks] = {}
        mounted = []
        blobs = await self._blobs() if {"image", "speech"}.intersection(self.services) else None
        images: ImageService | None = None
        if "image" in self.services:
            assert blobs is not None
            images = await self._image(blobs, self._sink("image", analytics))
            mounted.append(images.mounted)
        if "speech" in self.services:
            assert blobs is not None
            speech = await self._speech(blobs, self._sink("speech", analytics))
            mounted.append(speech.mounted)
            if analytics is not None:
                books[ServiceType.TEXT_TO_SPEECH] = _speech_books(speech)
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

    async def _blobs(self) -> WatchedBlobs:
        """The object store, which those who keep objects share."""
        from services.capabilities.blobs import wiring

        return await self.stack.enter_async_context(wiring.build(self.settings.blobs, self.settings.data_dir))

    async def _image(self, blobs: WatchedBlobs, sink: Sink | None) -> ImageService:
        from services.image import wiring

        return await self.stack.enter_async_context(wiring.build(**self._with_objects(blobs, sink)))

    async def _speech(self, blobs: WatchedBlobs, sink: Sink | None) -> SpeechService:
        from services.speech import wiring

        return await self.stack.enter_async_context(wiring.build(**self._with_objects(blobs, sink)))

    def _with_objects(self, blobs: WatchedBlobs, sink: Sink | None) -> dict[str, Any]:
        """What those are built of who keep objects."""
        from services.capabilities.blobs.check import BlobsCheck

        return {
            "settings": self.settings,
            "database": self.database,
            "blobs": blobs,
            "secret": self.secret,
            "sole_owner": self.sole_owner,
            "environ": self.environ,
            "revocations": self.revocations,
            "blobs_check": BlobsCheck(blobs),
            "metrics": self.metrics,
            "sink": sink,
        }

    def _channel_to(self, address: str) -> grpc.aio.Channel:
        channel = channel_to(address, self.peer_tls)
        self.stack.push_async_exit(channel)
        return channel

    def _images_for_chat(self, images: ImageService | None) -> ImageSource | None:
        if images is not None:
            from services.bootstrap.images import LocalImages

            return LocalImages(images)
        if self.settings.peers.image is None:
            return None
        from antiphon.image.v1 import image_pb2_grpc

        from services.chat.providers.image_service import ImagesByRpc

        channel = self._channel_to(self.settings.peers.image)
        return ImagesByRpc(image_pb2_grpc.ImageServiceStub(channel), self._tokens)

    def _sink(self, service: str, analytics: Analytics | None) -> Sink | None:
        if analytics is not None:
            return analytics.sink(service)
        if self.settings.peers.analytics is None:
            return None
        from antiphon.analytics.v1 import analytics_pb2_grpc

        from services.capabilities.metering.providers.rpc import SinkByRpc

        channel = self._channel_to(self.settings.peers.analytics)
        return SinkByRpc(analytics_pb2_grpc.AnalyticsServiceStub(channel), self._tokens)

    def _books_elsewhere(self) -> dict[ServiceType, ServiceBooks]:
        """The books of services whose addresses are known."""
        from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
        from antiphon.image.v1 import image_pb2, image_pb2_grpc
        from antiphon.speech.v1 import speech_pb2, speech_pb2_grpc

        from services.analytics.providers.rpc_books import (
            BooksByRpc,
            image_prices,
            unit_prices,
        )

        books: dict[ServiceType, ServiceBooks] = {}

        def add(
            service: str,
            service_type: ServiceType,
            stub: Callable[[Any], Any],
            messages: Any,
            prices_of: Callable[[Any], Iterable[CatalogPrice]],
        ) -> None:
            address: str | None = getattr(self.settings.peers, service)
            if address is not None and service not in self.services:
                channel = self._channel_to(address)
                books[service_type] = BooksByRpc(
                    service.capitalize(), stub(channel), messages, self._tokens, prices_of
                )

        add("chat", ServiceType.LLM_CHAT, chat_pb2_grpc.ChatServiceStub, chat_pb2, unit_prices)
        add("image", ServiceType.TEXT_TO_IMAGE, image_pb2_grpc.ImageServiceStub, image_pb2, image_prices)
        add(
            "speech",
            ServiceType.TEXT_TO_SPEECH,
            speech_pb2_grpc.SpeechServiceStub,
            speech_pb2,
            unit_prices,
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


def _speech_books(speech: SpeechService) -> ServiceBooks:
    from services.analytics.ports import CatalogPrice
    from services.bootstrap.books import LocalBooks

    def prices() -> Iterable[CatalogPrice]:
        for model in speech.catalog.models.values():
            for unit, price in model.prices.items():
                yield CatalogPrice(model.name, unit, "", price)

    return LocalBooks(speech.summarize, speech.redeliver, prices)
