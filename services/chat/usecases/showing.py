"""What a model is shown: the pictures of a call, fetched at once, and held until its answer begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from types import MappingProxyType

import structlog

from services.chat.errors import PicturesOverloaded
from services.chat.model import Image, Picture
from services.chat.ports import Pictures
from services.kernel.budget import ByteBudget, Share
from services.kernel.errors import DeadlineExceeded, PermissionDenied, ServiceError
from services.kernel.principal import Principal

log = structlog.get_logger(__name__)

_AT_ONCE = 16
_MOST_WAITING = 256
# A turn comes when somebody before has got theirs, which is soon unless nobody's address answers.
_TURN_SECONDS = 10.0
# What is held of all calls together; more only when a few pictures of the largest size need it.
_MOST_BYTES = 256 * 1024**2
# What DownloadImage takes of a key: a chat must not show what the key could not have downloaded.
_IMAGE_SCOPE = "image.read"


class Held:
    """The pictures of one call, which count as the gallery's until they are released."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._pictures: dict[Image, Picture] = {}

    @property
    def pictures(self) -> Mapping[Image, Picture]:
        """Those that there are; none once they were released."""
        return MappingProxyType(self._pictures)

    def keep(self, image: Image, picture: Picture) -> None:
        """Hold one more, whose bytes are in the share already."""
        self._pictures[image] = picture

    def release(self) -> None:
        """Hold none any more. May be called again."""
        self._pictures.clear()
        self._share.release()


class Gallery:
    """Fetches the pictures of calls, and bounds what they take of the process: how many come in at once, and how many bytes are held."""

    def __init__(self, source: Pictures, max_picture_bytes: int, *, most_bytes: int = _MOST_BYTES) -> None:
        self._source = source
        self._largest = max_picture_bytes
        self._budget = ByteBudget(max(most_bytes, 2 * max_picture_bytes))
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._wanted = 0

    @property
    def held_bytes(self) -> int:
        """The bytes of all pictures that are held, and the room that is kept for those that come in."""
        return self._budget.held_bytes

    def nothing(self) -> Held:
        """What a call without pictures holds."""
        return Held(Share(self._budget))

    async def show(
        self, principal: Principal, images: Collection[Image], needed: Collection[Image], end: float | None
    ) -> Held:
        """The pictures of these references, for a caller; whoever gets them releases them.

        One that is `needed` is there, or this raises what `Pictures.fetch` does, and PermissionDenied for an image that the caller's key may
        not read; others are left out where they can't be had. Raises PicturesOverloaded, and DeadlineExceeded at `end`, in the loop's
        time; None without one.
        """
        if not _may_read_images(principal):
            if any(image.image_id for image in needed):
                raise _scope_required()
            images = [image for image in images if not image.image_id]
        # Of two references to one image, that which brings its token counts.
        wanted = {image: image for image in sorted(images, key=lambda image: bool(image.owner_token))}
        musts = {image: image for image in needed}
        share = Share(self._budget)
        held = Held(share)
        with ExitStack() as undo:
            undo.callback(held.release)
            try:
                async with asyncio.timeout_at(end), asyncio.TaskGroup() as group:
                    for image, named in wanted.items():
                        asked = musts.get(image, named)
                        group.create_task(self._keep(held, share, principal.user_id, asked, image in musts))
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None
            except TimeoutError:
                raise DeadlineExceeded(
                    "your deadline was over before the pictures were fetched; allow more time",
                    metadata={"stage": "pictures"},
                ) from None
            undo.pop_all()
        return held

    async def _keep(self, held: Held, share: Share, user_id: str, image: Image, must: bool) -> None:
        try:
            async with self._turn():
                held.keep(image, await self._fetched(share, user_id, image))
        except PicturesOverloaded:
            raise
        except ServiceError as error:
            if must:
                raise
            log.info("a picture of an earlier turn is not shown", reason=error.reason)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._wanted >= _MOST_WAITING:
            raise PicturesOverloaded
        self._wanted += 1
        try:
            try:
                async with asyncio.timeout(_TURN_SECONDS):
                    await self._turns.acquire()
            except TimeoutError:
                raise PicturesOverloaded from None
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._wanted -= 1

    async def _fetched(self, share: Share, user_id: str, image: Image) -> Picture:
        """The picture, its bytes in the share. Room for the largest is kept until it is known how large it is."""
        if not share.take(self._largest):
            raise PicturesOverloaded
        kept = self._largest
        try:
            picture = await self._source.fetch(user_id, image)
            kept -= len(picture.data)
            return picture
        finally:
            share.shrink(kept)


def _may_read_images(principal: Principal) -> bool:
    return principal.scopes is None or _IMAGE_SCOPE in principal.scopes


def _scope_required() -> PermissionDenied:
    return PermissionDenied(
        f"This API key lacks the scope {_IMAGE_SCOPE}, which images of the image service take; name public ones, or use another key.",
        reason="SCOPE_REQUIRED",
        metadata={"scope": _IMAGE_SCOPE},
    )
