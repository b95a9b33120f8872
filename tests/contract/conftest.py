"""What the contract suites are run against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from services.chat.ports import SessionStore
from tests.fakes.analytics_mongo import mongo_store as analytics_on_mongo
from tests.fakes.analytics_sql import sql_store as analytics_on_postgres
from tests.fakes.analytics_stores import AnalyticsStores
from tests.fakes.analytics_stores import memory_stores as analytics_in_memory
from tests.fakes.auth_stores import Stores, memory_stores, two_processes
from tests.fakes.chat_stores import ChatStores, mongo_stores, postgres_stores
from tests.fakes.image_stores import ImageStores, memory_images, postgres_images
from tests.fakes.speech_stores import SpeechStores, memory_conversions, postgres_conversions

if TYPE_CHECKING:
    from tests.conftest import TestDatabases


@pytest.fixture(params=["memory", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Auth's stores, empty."""
    if request.param == "memory":
        yield memory_stores()
        return
    async with two_processes(request.getfixturevalue("migrated_url")) as made:
        yield made


@pytest.fixture(params=["postgres", pytest.param("mongo", marks=pytest.mark.peers)])
async def chat_stores(request: pytest.FixtureRequest) -> AsyncIterator[ChatStores]:
    """Chat's stores, empty."""
    if request.param == "mongo":
        async with mongo_stores(request.getfixturevalue("mongo_url")) as made:
            yield made
        return
    async with postgres_stores(request.getfixturevalue("migrated_url")) as made:
        yield made


@pytest.fixture
def store(chat_stores: ChatStores) -> SessionStore:
    """The store of sessions among them."""
    return chat_stores.sessions


@pytest.fixture(params=["memory", "postgres", pytest.param("mongo", marks=pytest.mark.peers)])
async def analytics_stores(request: pytest.FixtureRequest) -> AsyncIterator[AnalyticsStores]:
    """Analytics' stores, empty."""
    if request.param == "memory":
        yield analytics_in_memory()
    elif request.param == "postgres":
        async with analytics_on_postgres(request.getfixturevalue("migrated_url")) as made:
            yield made
    else:
        async with analytics_on_mongo(request.getfixturevalue("mongo_url")) as made:
            yield made


@pytest.fixture(scope="session")
def image_url(test_databases: TestDatabases) -> Iterator[str]:
    """The URL of a database for Image's index, which the tests of a worker have one after the other."""
    name = test_databases.create(test_databases.migrated_template(["image"]))
    yield test_databases.url_of(name)
    test_databases.drop(name)


@pytest.fixture(params=["memory", "postgres"])
async def image_stores(request: pytest.FixtureRequest) -> AsyncIterator[ImageStores]:
    """Image's index, empty."""
    if request.param == "memory":
        yield memory_images()
        return
    async with postgres_images(request.getfixturevalue("image_url")) as made:
        yield made


@pytest.fixture
async def indexes(image_url: str) -> AsyncIterator[ImageStores]:
    """The same on PostgreSQL alone."""
    async with postgres_images(image_url) as made:
        yield made


@pytest.fixture(scope="session")
def speech_url(test_databases: TestDatabases) -> Iterator[str]:
    """The URL of a database for Speech's tables, which the tests of a worker have one after the other."""
    name = test_databases.create(test_databases.migrated_template(["speech"]))
    yield test_databases.url_of(name)
    test_databases.drop(name)


@pytest.fixture(params=["memory", "postgres"])
async def speech_stores(request: pytest.FixtureRequest) -> AsyncIterator[SpeechStores]:
    """Speech's table, empty."""
    if request.param == "memory":
        yield memory_conversions()
        return
    async with postgres_conversions(request.getfixturevalue("speech_url")) as made:
        yield made


@pytest.fixture
async def conversion_tables(speech_url: str) -> AsyncIterator[SpeechStores]:
    """The same on PostgreSQL alone."""
    async with postgres_conversions(speech_url) as made:
        yield made
