"""Images, models and sums, as the contract has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from antiphon.image.v1 import image_pb2

from services.capabilities.metering.mapping import quantities_to_proto
from services.capabilities.metering.model import UsageSummary
from services.image.generation.objects import keys_of
from services.image.model import Image
from services.image.ports import CatalogModel

if TYPE_CHECKING:
    from antiphon.usage.v1 import usage_pb2


def image_to_proto(image: Image, owner_token: str = "") -> image_pb2.Image:
    """An image of the index."""
    made = image_pb2.Image(
        image_id=image.image_id,
        user_id=image.user_id,
        prompt=image.prompt,
        negative_prompt=image.negative_prompt,
        size=image.size,
        style=image.style,
        status=image_pb2.IMAGE_STATUS_COMPLETED,
        model=image.model,
        provider=image.provider,
        object_key=keys_of(image).original,
        owner_token=owner_token,
        metadata=image_pb2.ImageMetadata(
            processing_time_ms=image.processing_time_ms,
            provider=image.provider,
            model=image.model,
            seed=image.seed,
            width=image.width,
            height=image.height,
            revised_prompt=image.revised_prompt,
            index=image.index,
        ),
        sha256=image.sha256,
        size_bytes=image.size_bytes,
        request_id=image.request_id,
    )
    made.create_time.FromDatetime(image.create_time)
    return made


def model_to_proto(model: CatalogModel) -> image_pb2.Model:
    """An entry of the catalog."""
    made = image_pb2.Model(
        name=model.name,
        provider=model.provider_name,
        display_name=model.display_name,
        description=model.description,
        ready=model.ready,
        not_ready_reason=model.not_ready_reason,
        sizes=map(str, model.sizes),
        anonymous_sizes=map(str, model.anonymous_sizes),
        styles=list(model.styles),
        maximum_count=model.maximum_count,
        takes_seed=model.takes_seed,
        takes_negative_prompt=model.takes_negative_prompt,
        prices=[
            image_pb2.ModelPrice(size=size, nano_usd_per_image=price) for size, price in model.prices.items()
        ],
    )
    made.timeout.FromNanoseconds(round(model.timeout * 1_000_000_000))
    return made


def summary_to_proto(summary: UsageSummary) -> image_pb2.UsageSummary:
    """What some calls add up to."""
    return image_pb2.UsageSummary(
        user_id=summary.user_id,
        model=summary.model,
        status=cast("usage_pb2.UsageStatus", summary.status.value),
        event_count=summary.event_count,
        quantities=quantities_to_proto(summary.quantities),
    )
