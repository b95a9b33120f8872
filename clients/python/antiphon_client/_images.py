"""What the synchronous client does with images. `_async_images.py` mirrors it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from antiphon.image.v1 import image_pb2

from antiphon_client import _calls, _image_calls
from antiphon_client._calling import Calling
from antiphon_client._download import Download
from antiphon_client._downloading import DownloadReader


class ImageVerbs(Calling):
    """The part of a client that is about images. Those of other people are as absent: NotFound. Those of anonymous callers are there for whoever
    has their `owner_token`."""

    def generate_images(
        self,
        prompt: str,
        *,
        negative_prompt: str = "",
        size: str = "",
        style: str = "",
        model: str = "",
        seed: int | None = None,
        count: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> Sequence[image_pb2.Image]:
        """Images of what `prompt` says, once they are stored; one, unless `count` says more. The fields of GenerateImageRequest, where they are explained.

        It may take as long as an answer (`Timeouts.answer`). `request_id`, a UUID, is made when not given; give one to make a call
        again from another process.
        """
        call = _image_calls.generate_images(
            prompt, negative_prompt, size, style, model, seed, count, request_id
        )
        limit = self._timeouts.answer if timeout is None else timeout
        return self._transport.unary(call, limit).images

    def get_image(
        self, image_id: str, *, owner_token: str = "", timeout: float | None = None
    ) -> image_pb2.Image:
        """An image's description."""
        request = image_pb2.GetImageRequest(image_id=image_id, owner_token=owner_token)
        return self._unary(_calls.call(_image_calls.GET_IMAGE, request), timeout).image

    def download_image(
        self,
        image_id: str,
        *,
        image_format: image_pb2.ImageFormat = image_pb2.IMAGE_FORMAT_UNSPECIFIED,
        thumbnail: bool = False,
        owner_token: str = "",
        timeout: float | None = None,
    ) -> Download:
        """An image's bytes in chunks, those of the original when no format is named; with `thumbnail` those of a small version.

        A connection that breaks is sought again, and the bytes go on where they broke off. The image is whole when the iteration
        ends: it raises BrokenDownload when length or SHA-256 are not those that the server tells.
        """
        call = _image_calls.download_image(image_id, image_format, thumbnail, owner_token)
        limit = self._timeouts.stream if timeout is None else timeout
        reader = DownloadReader(call, f"image {image_id}")
        return Download(self._transport, reader, limit)

    def save_image(
        self,
        image_id: str,
        path: str | os.PathLike[str],
        *,
        image_format: image_pb2.ImageFormat = image_pb2.IMAGE_FORMAT_UNSPECIFIED,
        thumbnail: bool = False,
        owner_token: str = "",
        timeout: float | None = None,
    ) -> None:
        """Downloads an image to a file, which is there once it is whole; one that was there is replaced then. The name does not choose the format.

        Raises OSError, too, when the file can't be written.
        """
        self.download_image(
            image_id,
            image_format=image_format,
            thumbnail=thumbnail,
            owner_token=owner_token,
            timeout=timeout,
        ).save(path)

    def list_images(
        self, *, user_id: str = "", page_size: int = 0, skip: int = 0, timeout: float | None = None
    ) -> Iterator[image_pb2.Image]:
        """The caller's images, newest first; those of `user_id` for administrators.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = image_pb2.ListImagesRequest(page_size=page_size, skip=skip, user_id=user_id)
        for page in self._pages(_image_calls.LIST_IMAGES, request, timeout):
            yield from page.images

    def list_all_images(
        self, *, user_id: str = "", page_size: int = 0, skip: int = 0, timeout: float | None = None
    ) -> Iterator[image_pb2.Image]:
        """Everybody's images, newest first, for administrators: those of anonymous callers, too; with `user_id` those of one person alone.

        Pages are fetched as they are needed. `timeout` is for each page.
        """
        request = image_pb2.AdminListImagesRequest(page_size=page_size, skip=skip, user_id=user_id)
        for page in self._pages(_image_calls.ADMIN_LIST_IMAGES, request, timeout):
            yield from page.images

    def delete_image(self, image_id: str, *, timeout: float | None = None) -> None:
        """Removes an image. NotFound from a repeated try counts as done, since the first one may have been."""
        request = image_pb2.DeleteImageRequest(image_id=image_id)
        self._unary(_calls.call(_image_calls.DELETE_IMAGE, request), timeout)

    def list_image_models(self, *, timeout: float | None = None) -> image_pb2.ListModelsResponse:
        """The catalog of models that make images, the default one first: their sizes, styles and prices."""
        request = image_pb2.ListModelsRequest()
        return self._unary(_calls.call(_image_calls.LIST_MODELS, request), timeout)
