"""Images of a call come one by one, and what is held of all calls meanwhile is bounded."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import replace

import pytest

from services.capabilities.upstream.errors import (
    ProviderRateLimited,
    ProviderTimeout,
)
from services.image.ports import ImageProvider
from services.image.providers.adapters import answers_budget
from services.kernel.budget import ByteBudget
from tests.fakes.chat_play import until
from tests.fakes.image_codecs import picture
from tests.fakes.image_providing import CALL, coming, every_protocol, made, providing
from tests.fakes.image_upstream import busy, image_upstream, images, named, sends

SIZE = 50_000
LARGE = b"\x89" + bytes(SIZE - 1)
BATCH = replace(CALL, seed=None, count=4)


@every_protocol
async def test_each_image_is_given_as_soon_as_it_has_come_and_a_failure_comes_after_them(
    protocol: str,
) -> None:
    async with image_upstream() as upstream, providing(protocol, upstream.at(protocol)) as provider:
        upstream.answers(images(), images(), busy(429))
        async with coming(provider, replace(CALL, count=3)) as found:
            for number, seed in enumerate((7, 8)):
                # Nobody is asked ahead.
                assert len(upstream.asked) == number
                assert (await anext(found)).data == picture(CALL.size, bytes([seed, 1, 2]))
            with pytest.raises(ProviderRateLimited):
                await anext(found)


@every_protocol
async def test_whoever_stops_reading_has_nothing_more_asked_for_and_nothing_held(protocol: str) -> None:
    budget = ByteBudget(10_000_000)
    async with (
        image_upstream() as upstream,
        providing(protocol, upstream.at(protocol), budget=budget) as provider,
    ):
        upstream.answers(sends(LARGE))
        async with coming(provider) as found:
            await anext(found)
            assert budget.held_bytes
        assert (len(upstream.asked), budget.held_bytes) == (1, 0)


async def test_the_time_in_which_an_image_is_worked_on_is_not_the_providers() -> None:
    async with (
        image_upstream() as upstream,
        providing("pollinations", upstream.at("pollinations"), total=0.2) as provider,
        coming(provider) as found,
    ):
        await anext(found)
        # Longer than the provider has in all.
        done = asyncio.get_running_loop().time() + 0.25
        await until(lambda: asyncio.get_running_loop().time() > done)
        await anext(found)


async def test_addresses_are_fetched_one_by_one_each_when_it_is_asked_for() -> None:
    async with image_upstream() as upstream, image_upstream() as store:
        upstream.answers(named(*(f"{store.origin}/{number}" for number in range(4))))
        async with providing("openai", upstream.at("openai"), image_origins=(store.origin,)) as provider:
            number = 0
            async with coming(provider, BATCH) as found:
                async for _ in found:
                    number += 1
                    assert len(store.asked) == number


async def test_of_a_batch_ever_less_is_held() -> None:
    budget = ByteBudget(10_000_000)
    async with (
        image_upstream() as upstream,
        providing("openai", upstream.at("openai"), budget=budget) as provider,
    ):
        upstream.answers(sends(LARGE))
        async with coming(provider, BATCH) as found:
            held = [budget.held_bytes async for _ in found]
    assert held == [4 * SIZE, 3 * SIZE, 2 * SIZE, SIZE]


@every_protocol
async def test_calls_wait_for_room_and_all_get_their_images(protocol: str) -> None:
    # Room for what one call may need, and for one image more.
    budget = answers_budget(SIZE, most=0, free=0)
    bound, most = 11 * SIZE, 0

    async def one(provider: ImageProvider) -> int:
        nonlocal most
        count = 0
        async with coming(provider, BATCH) as found:
            async for image in found:
                most = max(most, budget.held_bytes)
                count += image.data == LARGE
                await asyncio.sleep(0)
        return count

    async with (
        image_upstream() as upstream,
        providing(protocol, upstream.at(protocol), limit=SIZE, budget=budget) as provider,
    ):
        upstream.answers(sends(LARGE))
        assert await asyncio.gather(*(one(provider) for _ in range(8))) == [4] * 8
    assert 0 < most <= bound
    assert budget.held_bytes == 0


@every_protocol
async def test_one_that_gets_no_room_in_its_time_is_told_so_and_a_small_one_gets_its_image(
    protocol: str,
) -> None:
    budget = ByteBudget(SIZE, free=1000)
    async with (
        image_upstream() as upstream,
        providing(protocol, upstream.at(protocol), total=0.2, budget=budget) as provider,
    ):
        with budget.share() as others, budget.share() as ahead:
            assert others.take(SIZE + 1000)
            await ahead.grow(SIZE)
            assert len(await made(provider)) == CALL.count
            upstream.answers(sends(LARGE))
            with pytest.raises(ProviderTimeout, match="room") as late:
                await made(provider)
            assert late.value.metadata["stage"] == "room"
        assert budget.held_bytes == 0


@every_protocol
async def test_the_names_of_providers_are_looked_up_in_threads_that_nobody_else_needs(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        asked.append((host, threading.current_thread().name.partition("_")[0]))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with image_upstream() as upstream:
        own = upstream.at(protocol).replace("127.0.0.1", "own.example")
        async with providing(protocol, own) as provider:
            assert len(await made(provider)) == CALL.count
    assert set(asked) == {("own.example", "names")}
