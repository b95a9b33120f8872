"""Counting in MongoDB, beyond what every place that counts promises: replicas, clocks, failures."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from services.capabilities.limits.stores.mongo import MongoCounters
from services.infra.mongo.client import Mongo
from services.kernel.errors import Unavailable
from tests.fakes.limit_places import WINDOW, counting_in_mongo, let_in, take_many
from tests.peers.mongo_server import mongo_server

pytestmark = pytest.mark.peers


async def test_two_replicas_let_in_exactly_the_limit_together(mongo_url: str) -> None:
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(counting_in_mongo(mongo_url)) for _ in range(2)]
        callers = [f"caller {number}" for number in range(20)]

        async def hammer(counters: MongoCounters, seed: int) -> dict[str, int]:
            ours = dict.fromkeys(callers, 0)
            asks = [caller for caller in callers for _ in range(15)]
            random.Random(seed).shuffle(asks)

            async def ask(caller: str) -> None:
                count = await counters.take("chat", caller, 10)
                ours[caller] += count.allowed

            for start in range(0, len(asks), 50):
                await asyncio.gather(*(ask(caller) for caller in asks[start : start + 50]))
            return ours

        first, second = await asyncio.gather(*(hammer(one, seed) for seed, one in enumerate(replicas)))
        assert {first[caller] + second[caller] for caller in callers} == {10}


async def test_a_caller_at_its_limit_is_refused_without_asking_the_database(mongo_url: str) -> None:
    async with Mongo(mongo_url) as mongo, counting_in_mongo(mongo_url) as counters:
        assert let_in(await take_many(counters, 3, 2)) == 2
        await mongo["place_limits"].drop()
        refused = await counters.take("chat", "ana", 2)
        assert not refused.allowed
        assert 50 < refused.reset_after <= WINDOW


@pytest.mark.parametrize("seconds", [3600, 100])
async def test_a_clock_that_was_set_back_shuts_nobody_out(mongo_url: str, seconds: float) -> None:
    async with Mongo(mongo_url) as mongo, counting_in_mongo(mongo_url) as counters:
        await take_many(counters, 1, 2)
        (found,) = await mongo["place_limits"].find().to_list()
        later = found["ends_at"] + timedelta(seconds=seconds)
        await mongo["place_limits"].update_one({}, {"$set": {"ends_at": later, "used": 2}})
        count = await counters.take("chat", "ana", 2)
        assert count.allowed
        assert count.reset_after <= WINDOW


async def test_calls_that_can_not_be_counted_are_told_soon_and_counted_again(
    mongo_command: list[str],
) -> None:
    clock_ahead = 0.0
    with mongo_server(mongo_command) as server:
        mongo = Mongo(f"{server.url}places", connect_timeout=0.3)
        await mongo.open()
        counters = MongoCounters(
            mongo, "place", answer_seconds=1.0, clock=lambda: asyncio.get_running_loop().time() + clock_ahead
        )
        try:
            assert (await counters.take("chat", "ana", 5)).allowed
            server.stop()
            for _ in range(2):
                began = asyncio.get_running_loop().time()
                with pytest.raises(Unavailable):
                    await counters.take("chat", "ana", 5)
                assert asyncio.get_running_loop().time() - began < 5
            with mongo_server(mongo_command, server.port):
                async with asyncio.timeout(20):
                    while True:
                        clock_ahead += 1
                        try:
                            assert (await counters.take("chat", "ana", 5)).allowed
                            break
                        except Unavailable:
                            await asyncio.sleep(0.05)
        finally:
            await counters.aclose()
            await mongo.close()


def test_a_service_is_named_as_a_collection_can_be() -> None:
    with pytest.raises(ValueError, match="not the name of a service"):
        MongoCounters(Mongo("mongodb://localhost/x"), "$cmd")
