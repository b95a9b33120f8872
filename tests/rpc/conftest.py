"""The whole suite for the tests of a module, on a database of theirs: they share it, and are told apart by the people who call."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.chat_stage import Stage, stage
from tests.fakes.served_suite import Person, Serve, Served, served, somebody


@pytest.fixture(scope="module")
def module_url(test_databases: Any) -> Iterator[str]:
    """The URL of a migrated database for all tests of a module."""
    name = test_databases.create(test_databases.migrated_template())
    yield test_databases.url_of(name)
    test_databases.drop(name)


@pytest.fixture(scope="module")
def suite_environ() -> dict[str, str]:
    """What the module's suite is set to beside the usual; a module with other wishes has a fixture of this name."""
    return {}


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    """Which services the module's suite has. With Analytics among them, usage events leave the outbox."""
    return ("auth", "chat")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage() -> AsyncIterator[Stage]:
    """The model of the module's suite; tests want `model`."""
    async with stage() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def suite(
    module_url: str,
    module_stage: Stage,
    suite_environ: dict[str, str],
    suite_services: Sequence[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Served]:
    """The module's suite. Tests that use it run in the module's loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`."""
    folder = tmp_path_factory.mktemp("suite")
    async with served(module_url, folder, module_stage, None, suite_services, **suite_environ) as made:
        yield made


@pytest.fixture
def model(module_stage: Stage) -> Iterator[Stage]:
    """The scripted model, in its usual state."""
    module_stage.clear()
    yield module_stage
    module_stage.clear()


@pytest.fixture
def ana() -> Person:
    """Somebody new."""
    return somebody()


@pytest.fixture
def ben() -> Person:
    """Somebody else."""
    return somebody()


@pytest.fixture
def serve(migrated_url: str, module_stage: Stage, tmp_path: Path) -> Serve:
    """Starts suites on a database of the test's own, one after the other or side by side: services, Auth and Chat by default, and settings."""

    def start(*services: str, **environ: str) -> contextlib.AbstractAsyncContextManager[Served]:
        return served(migrated_url, tmp_path, module_stage, None, services or ("auth", "chat"), **environ)

    return start
