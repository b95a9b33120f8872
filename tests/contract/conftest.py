"""What the contract suites are run against."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.auth_stores import Stores, memory_stores, two_processes


@pytest.fixture(params=["memory", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Auth's stores, empty."""
    if request.param == "memory":
        yield memory_stores()
        return
    async with two_processes(request.getfixturevalue("migrated_url")) as made:
        yield made
