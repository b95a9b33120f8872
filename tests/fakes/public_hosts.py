"""An internet of one host on loopback, and a fetcher that takes it for public."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

from services.infra.http.addresses import Address
from services.infra.http.public import PublicFetch
from tests.fakes.image_upstream import ImageUpstream, image_upstream, says

# The loopback has many addresses: here one of them plays the internet, and the rest is what it is.
INTERNET = IPv4Address("127.0.0.1")
NEAR = IPv4Address("127.0.0.2")
IMAGE = says(200, b"an image", kind="Image/PNG; x=1")


class Names:
    """A resolver: what each name has, one answer after the other, the last one again and again."""

    def __init__(self, **answers: Sequence[Sequence[Address]]) -> None:
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        found = self.answers.get(host)
        if not found:
            raise OSError(None, "no such name")
        return found.pop(0) if len(found) > 1 else found[0]


@asynccontextmanager
async def internet(
    names: Names | None = None, free: Sequence[str] = (), connect_seconds: float = 5.0
) -> AsyncIterator[tuple[PublicFetch, ImageUpstream]]:
    """A fetcher, and a server of `pictures.example`."""
    fetch = PublicFetch(
        free_origins=free,
        connect_seconds=connect_seconds,
        is_public=lambda address: address == INTERNET,
        resolve=names or Names(pictures_example=[[INTERNET]], near_example=[[NEAR]]),
    )
    try:
        async with image_upstream() as server:
            server.answers(IMAGE)
            server.origin = server.origin.replace("127.0.0.1", "pictures.example")
            yield fetch, server
    finally:
        await fetch.aclose()


async def get(fetch: PublicFetch, url: str, limit: int = 1000, seconds: float = 5.0) -> bytes:
    return (await fetch.fetch(url, limit=limit, seconds=seconds, accept="image/*")).data
