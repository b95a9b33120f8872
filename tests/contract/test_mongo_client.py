"""The client of MongoDB: what a start waits for and what it refuses, and a server that goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.infra.mongo.checks import MongoCheck
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError
from tests.fakes.served_suite import until
from tests.peers.mongo_server import MongoServer, mongo_server
from tests.peers.programs import free_port

pytestmark = pytest.mark.peers

_PASSWORD = "s3cret%2Fword"


@pytest.fixture
def server(mongo_command: list[str]) -> Iterator[MongoServer]:
    """A server that the test may stop."""
    with mongo_server(mongo_command) as running:
        yield running


async def test_a_start_gives_up_in_time_and_says_what_is_wrong() -> None:
    told: list[str] = []
    mongo = Mongo(f"mongodb://ana:{_PASSWORD}@127.0.0.1:{free_port()}/chat", 0.2)
    with pytest.raises(StartupError) as failed:
        await mongo.open(1.0, told.append)
    assert f"mongodb://ana@127.0.0.1:{urlsplit(mongo.address).port}/chat" in failed.value.message
    assert "Connect call failed" in failed.value.message
    assert "MONGODB_URL" in failed.value.advice
    assert len(told) == 1
    assert "Waiting for the MongoDB" in told[0]
    assert "s3cret" not in f"{failed.value} {told} {mongo!r}"


async def test_a_start_waits_for_a_server_that_is_starting(mongo_command: list[str]) -> None:
    port = free_port()
    mongo = Mongo(f"mongodb://127.0.0.1:{port}", 0.2)
    waiting = asyncio.Event()
    opening = asyncio.create_task(mongo.open(30.0, lambda _: waiting.set()))
    await waiting.wait()
    with mongo_server(mongo_command, port):
        await opening
        await mongo.ping()
        await mongo.close()


async def test_a_server_that_is_too_old_is_refused_at_once(mongo_command: list[str]) -> None:
    with mongo_server(mongo_command, wire_version=8) as old:
        started = time.monotonic()
        with pytest.raises(StartupError) as failed:
            await Mongo(old.url).open(30.0)
    assert "too old" in failed.value.message
    assert "4.4 or later" in failed.value.advice
    assert time.monotonic() - started < 10


async def test_credentials_that_are_refused_are_not_tried_for_long_and_not_told(mongo_url: str) -> None:
    parts = urlsplit(mongo_url)
    host = parts.netloc.rpartition("@")[2]
    with pytest.raises(StartupError) as failed:
        await Mongo(f"mongodb://nobody:{_PASSWORD}@{host}/?authSource=admin").open(30.0)
    assert "refuses" in failed.value.message
    assert "s3cret" not in str(failed.value)


async def test_a_name_that_does_not_resolve_yet_is_waited_for() -> None:
    told: list[str] = []
    mongo = Mongo(f"mongodb+srv://ana:{_PASSWORD}@cluster.nowhere.invalid/chat", 0.2)
    with pytest.raises(StartupError) as failed:
        await mongo.open(0.5, told.append)
    assert "cannot be reached" in failed.value.message
    assert len(told) == 1
    assert "s3cret" not in f"{failed.value} {told}"


@pytest.mark.parametrize(
    "options", ["", "w=0", "w=1&journal=false", "readPreference=secondaryPreferred&readConcernLevel=local"]
)
async def test_an_address_does_not_weaken_what_is_promised(mongo_url: str, options: str) -> None:
    parts = urlsplit(mongo_url)
    query = "&".join(part for part in (parts.query, options) if part)
    async with Mongo(parts._replace(query=query).geturl()) as mongo:
        for holder in (mongo.database, mongo["things"]):
            assert holder.read_preference.name == "Primary"
            assert holder.read_concern.level == "majority"
            assert holder.write_concern.document == {"w": "majority", "j": True}
        await mongo["things"].insert_one({"_id": 1})
        assert await mongo["things"].find_one() == {"_id": 1}


async def test_what_goes_away_is_unavailable_and_comes_back(
    mongo_command: list[str], server: MongoServer
) -> None:
    mongo = Mongo(f"{server.url}antiphon", 0.3)
    await mongo.open()
    check = MongoCheck(mongo)
    assert await check.check() is None
    server.stop()
    started = time.monotonic()
    with pytest.raises(Unavailable), translated():
        await mongo["things"].insert_one({"_id": 1})
    assert time.monotonic() - started < 5
    assert await check.check() == "The database does not answer now; try again."
    with mongo_server(mongo_command, server.port):

        async def is_back() -> bool:
            return await check.check() is None

        await until(is_back, 20.0)
        await mongo["things"].insert_one({"_id": 1})
        await mongo.close()


async def test_many_processes_make_the_indexes_at_once(mongo_url: str) -> None:
    indexes = {**GENERATION_INDEXES, **SESSION_INDEXES}

    async def start() -> None:
        async with Mongo(mongo_url) as mongo:
            await mongo.ensure_indexes(indexes)
            await mongo.ensure_indexes(indexes)

    await asyncio.gather(*(start() for _ in range(4)))
    async with Mongo(mongo_url) as mongo:
        for name, wanted in indexes.items():
            made = await mongo[name].index_information()
            assert set(made) == {"_id_", *(index.document["name"] for index in wanted)}
