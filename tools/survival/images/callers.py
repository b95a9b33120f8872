"""Callers that have images made, lose their server, come back or do not, delete, and leave."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from antiphon.image.v1 import image_pb2, image_pb2_grpc

_ATTEMPTS = 200
_PAUSE_SECONDS = 0.2
_RPC_SECONDS = 40.0
_TOTAL_SECONDS = 90.0
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 300),
)
# What tells that a server is gone, or that it took another one for gone, so that trying again makes sense.
_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED}


@dataclass(frozen=True)
class Wish:
    """What a caller asks for, and how it behaves. `token` is empty for an anonymous one. `comes_back`: the call has a request_id and is repeated until it is
    answered, and once more behind that. `leaves_after` so many seconds it calls its first attempt off."""

    token: str
    count: int
    comes_back: bool
    deletes: bool
    leaves_after: float | None


@dataclass
class Caller:
    """One call, and what its caller was told. `images` are those of the answer, `deleted` the ids of those that it has removed. `left` says that it called
    an attempt off, and `lost` that it lost its server and never asked again."""

    wish: Wish
    addresses: Sequence[str]
    chance: random.Random
    request_id: str = ""
    images: Sequence[image_pb2.Image] = ()
    deleted: set[str] = field(default_factory=set)
    attempts: int = 0
    left: bool = False
    lost: bool = False
    faults: list[str] = field(default_factory=list)
    _channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.wish.comes_back:
            self.request_id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Its credential."""
        return (("authorization", f"Bearer {self.wish.token}"),) if self.wish.token else ()

    @property
    def image_ids(self) -> list[str]:
        """What it was told to have."""
        return [image.image_id for image in self.images]

    async def run(self) -> None:
        """Ask at the first address, and go on at any."""
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                await self._generate()
                if self.images and self.wish.comes_back:
                    await self._ask_again()
                if self.images and self.wish.deletes:
                    await self._delete()
        except TimeoutError:
            self.faults.append(f"hung: no end within {_TOTAL_SECONDS:.0f} s, {self.attempts} attempts")
        finally:
            for channel in self._channels.values():
                await channel.close()

    async def _generate(self) -> None:
        while self.attempts < _ATTEMPTS and not self.faults:
            address = self.addresses[0] if not self.attempts else self.chance.choice(self.addresses)
            self.attempts += 1
            patience = self.wish.leaves_after if self.attempts == 1 else None
            try:
                async with asyncio.timeout(patience):
                    self._take((await self._call(address)).images)
                return
            except TimeoutError:
                self.left = True
            except grpc.aio.AioRpcError as error:
                self._failed(error)
            if not self.wish.comes_back:
                self.lost = not self.left
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask_again(self) -> None:
        """The same request_id finds the same images, at any server."""

        async def ask(address: str) -> None:
            found = [image.image_id for image in (await self._call(address)).images]
            if found != self.image_ids:
                self.faults.append(f"{self.request_id} made {self.image_ids}, and then {found}")

        await self._until_told(ask)

    async def _delete(self) -> None:
        image_id = self.chance.choice(self.image_ids)
        request = image_pb2.DeleteImageRequest(image_id=image_id)
        tried = 0

        async def delete(address: str) -> None:
            nonlocal tried
            tried += 1
            try:
                await self._stub(address).DeleteImage(request, metadata=self.metadata, timeout=_RPC_SECONDS)
            except grpc.aio.AioRpcError as error:
                # An attempt whose answer was lost may have removed it.
                if error.code() is not grpc.StatusCode.NOT_FOUND or tried == 1:
                    raise
            self.deleted.add(image_id)

        await self._until_told(delete)

    async def _until_told(self, ask: Callable[[str], Any]) -> None:
        for _ in range(_ATTEMPTS):
            try:
                await ask(self.chance.choice(self.addresses))
                return
            except grpc.aio.AioRpcError as error:
                self._failed(error)
                if self.faults:
                    return
            await asyncio.sleep(_PAUSE_SECONDS)
        self.faults.append(f"no answer in {_ATTEMPTS} attempts")

    async def _call(self, address: str) -> Any:
        request = image_pb2.GenerateImageRequest(
            request_id=self.request_id,
            prompt=f"a cat on {self.request_id or 'a mat'}",
            size="256x256",
            model="procedural",
            count=self.wish.count,
        )
        return await self._stub(address).GenerateImage(request, metadata=self.metadata, timeout=_RPC_SECONDS)

    def _take(self, images: Sequence[image_pb2.Image]) -> None:
        self.images = images
        if len(images) != self.wish.count:
            self.faults.append(f"{len(images)} images came instead of {self.wish.count}")
        if any(bool(image.user_id) is not bool(self.wish.token) for image in images):
            self.faults.append(f"{self.image_ids} belong to somebody else")

    def _failed(self, error: grpc.aio.AioRpcError) -> None:
        if error.code() not in _PASSING:
            self.faults.append(f"was told {error.code().name}: {error.details()}")

    def _stub(self, address: str) -> Any:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, _OPTIONS)
        return image_pb2_grpc.ImageServiceStub(self._channels[address])


def wishes(tokens: Sequence[str], count: int, chance: random.Random) -> list[Wish]:
    """Of ten: three anonymous, five that come back, two that delete, three that leave, one of which comes back."""
    made = []
    for number in range(count):
        kind = number % 10
        made.append(
            Wish(
                token="" if kind in (1, 4, 7) else chance.choice(tokens),
                count=chance.choice((1, 1, 1, 2, 3)),
                comes_back=kind in (0, 2, 3, 5, 7),
                deletes=kind in (2, 6),
                leaves_after=chance.uniform(0.02, 1.0) if kind in (3, 8, 9) else None,
            )
        )
    return made
