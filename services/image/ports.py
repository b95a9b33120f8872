"""What Image needs from others, as promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.capabilities.generations.model import State
from services.capabilities.generations.ports import GenerationStore
from services.capabilities.metering.model import UsageEvent
from services.capabilities.metering.ports import BookStore
from services.image.model import Filing, Format, Generation, Image, Size
from services.kernel.failures import Failure
from services.kernel.paging import Page, PageRequest


class ImageStore(GenerationStore[Generation], BookStore, Protocol):
    """The index of images, the generations that make them, and what is still to be filed. All methods raise Unavailable."""

    async def generation(self, generation_id: str) -> Generation | None:
        """A generation, whoever runs it. No store keeps its prompts: they are empty in what is read."""
        ...

    async def complete(self, generation_id: str, images: Sequence[Image], event: UsageEvent | None) -> bool:
        """The images are in the index, what was used is in the outbox, the generation is completed, and an ADD for each image is to be
        filed; one transaction. False when the generation does not run any more, and then nothing is changed; True also when this very end,
        by its event, is stored already. `event` is None where nothing is metered."""
        ...

    async def end(
        self,
        generation_id: str,
        state: State,
        failure: Failure | None,
        event: UsageEvent | None,
        *,
        free: bool,
        remove: bool,
        again: int = 0,
        silent: bool = False,
    ) -> bool:
        """The generation has ended without images; one transaction with its usage event. `free`: its claim is given up. `remove`: a DISCARD
        for each of its image ids that is not in the index is to be filed, with `again`; a REMOVE that is to be filed stays one. False and
        True are as for `complete`; with `silent` also False when its owner has renewed it in time."""
        ...

    async def discard(self, generation_id: str, again: int) -> None:
        """File what `end` with `remove` files, for a generation that has ended already."""
        ...

    async def image(self, image_id: str) -> Image | None:
        """An image of the index."""
        ...

    async def images_of(self, generation_id: str) -> Sequence[Image]:
        """The images of a generation that are still there, by their index."""
        ...

    async def page(self, user_id: str | None, request: PageRequest) -> Page[Image]:
        """Images of a person, or with None everybody's, newest first; `total_size` counts all of them. The key of a page is an image_id. Of
        images with long texts a page holds fewer, so that it stays below 3 MiB unless a single one is larger."""
        ...

    async def delete(self, image_id: str, user_id: str | None) -> bool:
        """The image is out of the index, and a REMOVE of it is to be filed at once, in the place of an ADD that was; one transaction. False
        when there is no such image of this person; None: anybody's."""
        ...

    async def forget(self, image_ids: Collection[str]) -> int:
        """These images are out of the index, and tell how many are; their objects stay as they are, and `restore` brings them back. Those
        for which something is to be filed are left alone."""
        ...

    async def restore(self, images: Sequence[Image]) -> int:
        """Put images into the index that are missing there, and tell how many were. Those that are to be removed stay out, as long as their
        REMOVE is to be filed; of one whose removal is done nobody knows any more that it was. A DISCARD keeps none out: it spares what has
        a record, by which whoever restores knows it."""
        ...

    async def expire(self, before: datetime, limit: int) -> int:
        """`delete` some images of anonymous callers that were made before this moment, and tell how many; 0 when none is left."""
        ...

    async def prune(self, generations_before: datetime, claims_older: timedelta, limit: int) -> int:
        """Forget some ended generations that were made before this moment and have no images any more, and some old claims; tell how many.
        Calls that keep images are walked past in parts, so 0 means that there is nothing to do for now."""
        ...

    # -- filing

    async def take(
        self, lease_id: str, ttl: timedelta, group: str = "", limit: int = 500
    ) -> Sequence[Filing]:
        """Filings that are due now, of groups that nobody is at; those groups have this lease for `ttl`. A lease's id is a new one each
        time, so that nobody takes another's for its own, of the same process neither. All due filings of a group that is taken are given,
        up to `limit` in all, the oldest first. With a `group` those of it alone, due or not, and none when somebody is at it or it has
        none."""
        ...

    async def waits(self, group: str) -> bool:
        """Whether filings of a group are still to be done, by whomever."""
        ...

    async def filed(self, done: Sequence[Filing], repeat: timedelta) -> None:
        """These are done: they are forgotten, or due once more after `repeat` where `again` is left. One that has another revision by now
        stays. An ADD that is not to be found any more, and whose image is not either, was overtaken by a removal: a REMOVE is to be filed
        once more."""
        ...

    async def failed(self, filings: Sequence[Filing], pause: timedelta) -> None:
        """These could not be done now, and are due again after `pause`; `attempts` grows."""
        ...

    async def leave(self, lease_id: str, groups: Sequence[str]) -> None:
        """Others may be at these groups from now on. Those that have another lease by now keep it."""
        ...

    async def unfiled(self) -> int:
        """How many filings wait to be done, those that are done and only due once more left out; counting stops at 100,000."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """What a provider is to make. `prompt` has the style in it; `style` names it for providers that draw by it; the seed of image i
    is `seed + i`."""

    upstream: str
    prompt: str
    negative_prompt: str
    size: Size
    style: str
    seed: int | None
    count: int


@dataclass(frozen=True, slots=True)
class ProviderImage:
    """What a provider made: the bytes as they came, in whatever format, and what it says of the prompt that it used instead."""

    data: bytes
    revised_prompt: str = ""


class ImageProvider(Protocol):
    """A model that makes images."""

    def generate(self, call: ProviderCall) -> AsyncIterator[ProviderImage]:
        """As many images as were asked for, in their order, each as soon as it has come; one attempt, without retries. Whoever asks for the
        next one has let go of the last. Whoever stops reading closes the iterator, and then its sockets are closed at once. Reads no more
        than it was allowed. Raises ProviderFailure: ProviderRefused, ProviderCredential, ProviderModelGone, ProviderRateLimited,
        ProviderUnavailable, ProviderProtocol, ProviderTimeout, ImageUnusable (`bytes`, `address`); one that is built in also
        Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model on offer. `sizes` has the default one first, and so has `anonymous_sizes`; `styles` is what is added to the prompt, by name;
    `prices` are nano-USD an image by size, `""` for all others; `not_ready_reason` is empty when it is ready."""

    name: str
    provider_name: str
    upstream: str
    display_name: str
    description: str
    provider: ImageProvider
    not_ready_reason: str
    sizes: tuple[Size, ...]
    anonymous_sizes: tuple[Size, ...]
    styles: Mapping[str, str]
    maximum_count: int
    takes_seed: bool
    takes_negative_prompt: bool
    prices: Mapping[str, int]
    timeout: float
    """Seconds that one attempt may take."""

    @property
    def ready(self) -> bool:
        """Whether it can be asked."""
        return not self.not_ready_reason


class Catalog(Protocol):
    """The models on offer, `procedural` last."""

    @property
    def models(self) -> Mapping[str, CatalogModel]:
        """All of them by name, in their order."""
        ...

    @property
    def default(self) -> CatalogModel:
        """The first ready one; there always is one."""
        ...

    def find(self, name: str) -> CatalogModel:
        """A model that is ready, the default one for an empty name. Raises ModelNotFound and ModelNotReady."""
        ...


@dataclass(frozen=True, slots=True)
class Original:
    """An image that is fit to be kept: PNG with nothing foreign in it, its thumbnail (PNG, at most 256 pixels wide and high), its size in
    pixels, and the SHA-256 of `png` in hexadecimal digits."""

    png: bytes
    thumbnail: bytes
    width: int
    height: int
    sha256: str


class Codecs(Protocol):
    """Work on pixels, in processes of its own: none of it holds the loop. All methods raise Unavailable when no worker can be had.

    `adopt` and `draw` go before `convert`, in their own order, and are never refused because others wait: whoever asks for them bounds how
    many there are.
    """

    async def adopt(self, data: bytes, facts: Mapping[str, str]) -> Original:
        """Decode an image wholly, whatever it claims to be, drop its metadata, and write `facts` into it as PNG texts (iTXt), by keyword.

        Takes PNG, JPEG, WebP, GIF (its first frame), BMP and AVIF. Raises ImageUnusable with `format` for anything else, also for one that
        brings its worker down, `truncated` for one that can't be read to its end, `pixels` for more pixels than are allowed, before they
        are decoded.
        """
        ...

    async def draw(self, prompt: str, size: Size, style: str, seed: int) -> bytes:
        """Pattern art, PNG; the same for the same arguments, on every machine. Raises Unavailable also when its worker died."""
        ...

    async def convert(self, png: bytes, format_: Format) -> tuple[bytes, str]:
        """An original in another format, and the SHA-256 of that in hexadecimal digits. Raises CodecsOverloaded when too many conversions
        wait, and Unavailable also when its worker died."""
        ...
