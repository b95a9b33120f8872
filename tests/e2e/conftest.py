"""Suites as processes, for the tests that use them as an operator does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.suite_process import SuiteProcess

StartSuite = Callable[..., SuiteProcess]


@pytest.fixture
def start_suite(tmp_path: Path) -> Iterator[StartSuite]:
    """Starts suites in this test's folder, or one below it, and kills at the end those that still run."""
    started: list[SuiteProcess] = []

    def start(folder: Path = tmp_path, **wishes: Any) -> SuiteProcess:
        started.append(SuiteProcess(folder, **wishes))
        return started[-1]

    yield start
    for suite in started:
        suite.kill()
