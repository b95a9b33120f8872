"""Callers that have images made, lose their server, come back or do not, delete, and leave."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from antiphon.image.v1 import image_pb2, image_pb2_grpc

from tools.survival.lines import ATTEMPTS, PAUSE_SECONDS, Line

_RPC_SECONDS = 40.0
_TOTAL_SECONDS = 90.0


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
    line: Line = field(init=False)

    def __post_init__(self) -> None:
        self.line = Line(image_pb2_grpc.ImageServiceStub, self.addresses, self.chance)
        if self.wish.comes_back:
            self.request_id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    @property
    def faults(self) -> list[str]:
        """What it should not have been told."""
        return self.line.faults

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
            await self.line.aclose()

    async def _generate(self) -> None:
        while self.attempts < ATTEMPTS and not self.faults:
            service = self.line.at(self.line.address(self.attempts))
            self.attempts += 1
            patience = self.wish.leaves_after if self.attempts == 1 else None
            try:
                async with asyncio.timeout(patience):
                    self._take((await self._call(service)).images)
                return
            except TimeoutError:
                self.left = True
            except grpc.aio.AioRpcError as error:
                self.line.failed(error)
            if not self.wish.comes_back:
                self.lost = not self.left
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask_again(self) -> None:
        """The same request_id finds the same images, at any server."""

        async def ask(service: Any) -> None:
            found = [image.image_id for image in (await self._call(service)).images]
            if found != self.image_ids:
                self.faults.append(f"{self.request_id} made {self.image_ids}, and then {found}")

        await self.line.until_told(ask)

    async def _delete(self) -> None:
        image_id = self.chance.choice(self.image_ids)
        request = image_pb2.DeleteImageRequest(image_id=image_id)
        await self.line.deleted(
            lambda service: service.DeleteImage(request, metadata=self.metadata, timeout=_RPC_SECONDS)
        )
        if not self.faults:
            self.deleted.add(image_id)

    async def _call(self, service: Any) -> Any:
        request = image_pb2.GenerateImageRequest(
            request_id=self.request_id,
            prompt=f"a cat on {self.request_id or 'a mat'}",
            size="256x256",
            model="procedural",
            count=self.wish.count,
        )
        return await service.GenerateImage(request, metadata=self.metadata, timeout=_RPC_SECONDS)

    def _take(self, images: Sequence[image_pb2.Image]) -> None:
        self.images = images
        if len(images) != self.wish.count:
            self.faults.append(f"{len(images)} images came instead of {self.wish.count}")
        if any(bool(image.user_id) is not bool(self.wish.token) for image in images):
            self.faults.append(f"{self.image_ids} belong to somebody else")


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
