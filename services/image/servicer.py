"""ImageService over gRPC: map, call, map."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from antiphon.image.v1 import image_pb2

from services.capabilities.blobs.ports import Blobs
from services.capabilities.metering.usecases import RedeliverUsage, SummarizeUsage
from services.image.mapping.requests import format_of, image_call
from services.image.mapping.resources import image_to_proto, model_to_proto, summary_to_proto
from services.image.model import Format, Image
from services.image.usecases.download import DownloadImage
from services.image.usecases.finding import DeleteImage, FindImage, ListImages
from services.image.usecases.generate import GenerateImage
from services.image.usecases.models import ListModels
from services.kernel.ownership import OwnerTokens
from services.kernel.pacing import paced
from services.kernel.request import current
from services.runtime.times import moment

# How long a reader may take for a piece of at most 64 KiB, and for a whole image: nothing is held for longer.
_PIECE_SECONDS = 60.0
_DOWNLOAD_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class UseCases:
    """All that Image can do."""

    generate: GenerateImage
    find: FindImage
    list_images: ListImages
    delete: DeleteImage
    download: DownloadImage
    list_models: ListModels
    summarize_usage: SummarizeUsage
    redeliver_usage: RedeliverUsage


class ImageServicer:
    """Serves the whole contract."""

    def __init__(
        self, use: UseCases, blobs: Blobs, tokens: OwnerTokens, digest_key: bytes, link_ttl: float
    ) -> None:
        self._use = use
        self._blobs = blobs
        self._tokens = tokens
        self._digest_key = digest_key
        self._link_ttl = round(link_ttl)

    async def GenerateImage(
        self, request: image_pb2.GenerateImageRequest, context: Any
    ) -> image_pb2.GenerateImageResponse:
        """Have images made, or find what the request_id made."""
        caller = current()
        call = image_call(request, self._digest_key)
        images = await self._use.generate(caller.principal, call, caller.remaining())
        return image_pb2.GenerateImageResponse(
            images=[
                await self._linked(image, "" if image.user_id else self._tokens.make(image.image_id))
                for image in images
            ]
        )

    async def GetImage(self, request: image_pb2.GetImageRequest, context: Any) -> image_pb2.GetImageResponse:
        """One image."""
        image = await self._use.find(current().principal, request.image_id.lower(), request.owner_token)
        return image_pb2.GetImageResponse(image=await self._linked(image))

    async def DownloadImage(
        self, request: image_pb2.DownloadImageRequest, context: Any
    ) -> AsyncIterator[image_pb2.DownloadImageResponse]:
        """Its bytes, and last their digest."""
        image = await self._use.find(current().principal, request.image_id.lower(), request.owner_token)
        pieces = self._pieces(image, format_of(request.format), thumbnail=request.thumbnail)
        async with aclosing(
            paced(pieces, "download", each=_PIECE_SECONDS, whole=_DOWNLOAD_SECONDS)
        ) as messages:
            async for message in messages:
                yield message

    async def _pieces(
        self, image: Image, format_: Format, *, thumbnail: bool
    ) -> AsyncGenerator[image_pb2.DownloadImageResponse]:
        async with self._use.download(image, format_, thumbnail=thumbnail) as sent:
            first = True
            async for chunk in sent.chunks:
                message = image_pb2.DownloadImageResponse(chunk=chunk)
                if first:
                    message.content_type, message.total_bytes = sent.content_type, sent.size_bytes
                    first = False
                yield message
            yield image_pb2.DownloadImageResponse(sha256=sent.sha256)

    async def ListImages(
        self, request: image_pb2.ListImagesRequest, context: Any
    ) -> image_pb2.ListImagesResponse:
        """A page of somebody's images."""
        page, next_page_token = await self._use.list_images(
            current().principal, request.user_id, request.page_size, request.page_token, request.skip
        )
        return image_pb2.ListImagesResponse(
            images=[image_to_proto(image) for image in page.items],
            next_page_token=next_page_token,
            total_size=page.total_size,
        )

    async def DeleteImage(
        self, request: image_pb2.DeleteImageRequest, context: Any
    ) -> image_pb2.DeleteImageResponse:
        """Remove it."""
        await self._use.delete(current().principal, request.image_id.lower())
        return image_pb2.DeleteImageResponse()

    async def ListModels(
        self, request: image_pb2.ListModelsRequest, context: Any
    ) -> image_pb2.ListModelsResponse:
        """The catalog, the default model first."""
        models = self._use.list_models()
        return image_pb2.ListModelsResponse(
            models=[model_to_proto(model) for model in models],
            default_model=models[0].name,
            anonymous_default_model=self._use.list_models.anonymous_default.name,
        )

    async def AdminListImages(
        self, request: image_pb2.AdminListImagesRequest, context: Any
    ) -> image_pb2.AdminListImagesResponse:
        """A page of everybody's images."""
        page, next_page_token = await self._use.list_images.everybodys(
            request.user_id, request.page_size, request.page_token, request.skip
        )
        return image_pb2.AdminListImagesResponse(
            images=[image_to_proto(image) for image in page.items],
            next_page_token=next_page_token,
            total_size=page.total_size,
        )

    async def SummarizeUsage(
        self, request: image_pb2.SummarizeUsageRequest, context: Any
    ) -> image_pb2.SummarizeUsageResponse:
        """What was used, added up."""
        report = await self._use.summarize_usage(
            moment("start_time", request.start_time), moment("end_time", request.end_time)
        )
        return image_pb2.SummarizeUsageResponse(
            event_count=sum(summary.event_count for summary in report.summaries),
            summaries=[summary_to_proto(summary) for summary in report.summaries],
            pending_event_count=report.pending_event_count,
        )

    async def RedeliverUsage(
        self, request: image_pb2.RedeliverUsageRequest, context: Any
    ) -> image_pb2.RedeliverUsageResponse:
        """What was used, told once more."""
        count = await self._use.redeliver_usage(
            moment("start_time", request.start_time), moment("end_time", request.end_time)
        )
        return image_pb2.RedeliverUsageResponse(event_count=count)

    async def _linked(self, image: Image, owner_token: str = "") -> image_pb2.Image:
        """The image with a link that is signed now, where there are such."""
        made = image_to_proto(image, owner_token)
        # The end is told as if it had been signed a moment ago, so that it is never told too late.
        signed = datetime.now(UTC)
        made.download_url = await self._blobs.link(made.object_key, self._link_ttl)
        if made.download_url:
            made.download_url_expire_time.FromDatetime(signed + timedelta(seconds=self._link_ttl))
        return made
