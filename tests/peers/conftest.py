"""Tests that play against real peers: all of this folder, by `make test-peers`."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("peers") is None:
            item.add_marker(pytest.mark.peers)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_PEERS=1 a peer that is missing fails its test, unless the test calls it optional."""
    report = yield
    marker = item.get_closest_marker("peers")
    if report.skipped and marker is not None and not marker.kwargs.get("optional", False):
        require(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that skips itself as a whole."""
    report = yield
    if report.skipped:
        require(report)
    return report


def require(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure when peers are required."""
    if os.environ.get("REQUIRE_PEERS", "") not in ("", "0"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_PEERS is set, and this peer is missing: {reason}"
