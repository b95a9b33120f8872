"""The RPCs of Image for people and administrators as values."""

from __future__ import annotations

from antiphon.image.v1 import image_pb2

from antiphon_client._calls import Call, call, method_of, new_request_id

_IMAGE = image_pb2.DESCRIPTOR.services_by_name["ImageService"]

GENERATE_IMAGE = method_of(
    _IMAGE, "GenerateImage", image_pb2.GenerateImageRequest, image_pb2.GenerateImageResponse
)
GET_IMAGE = method_of(_IMAGE, "GetImage", image_pb2.GetImageRequest, image_pb2.GetImageResponse)
DOWNLOAD_IMAGE = method_of(
    _IMAGE, "DownloadImage", image_pb2.DownloadImageRequest, image_pb2.DownloadImageResponse
)
LIST_IMAGES = method_of(_IMAGE, "ListImages", image_pb2.ListImagesRequest, image_pb2.ListImagesResponse)
DELETE_IMAGE = method_of(_IMAGE, "DeleteImage", image_pb2.DeleteImageRequest, image_pb2.DeleteImageResponse)
LIST_MODELS = method_of(_IMAGE, "ListModels", image_pb2.ListModelsRequest, image_pb2.ListModelsResponse)
ADMIN_LIST_IMAGES = method_of(
    _IMAGE, "AdminListImages", image_pb2.AdminListImagesRequest, image_pb2.AdminListImagesResponse
)


def generate_images(
    prompt: str,
    negative_prompt: str,
    size: str,
    style: str,
    model: str,
    seed: int | None,
    count: int,
    request_id: str,
) -> Call[image_pb2.GenerateImageRequest, image_pb2.GenerateImageResponse]:
    """GenerateImage, safe to repeat; what the provider has been asked for in vain is not asked for again."""
    if not isinstance(size, str):
        raise TypeError(f"size is a text such as '512x512', and not {size!r}")
    request_id = request_id or new_request_id()
    request = image_pb2.GenerateImageRequest(
        request_id=request_id,
        prompt=prompt,
        negative_prompt=negative_prompt,
        size=size,
        style=style,
        model=model,
        seed=seed,
        count=count,
    )
    return call(GENERATE_IMAGE, request, request_id)


def download_image(
    image_id: str, image_format: image_pb2.ImageFormat, thumbnail: bool, owner_token: str
) -> Call[image_pb2.DownloadImageRequest, image_pb2.DownloadImageResponse]:
    """DownloadImage."""
    request = image_pb2.DownloadImageRequest(
        image_id=image_id, format=image_format, thumbnail=thumbnail, owner_token=owner_token
    )
    return call(DOWNLOAD_IMAGE, request)
