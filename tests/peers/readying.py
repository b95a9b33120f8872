"""What a test that plays against a real peer is given, wherever it stands: the peer, or a skip that says what is missing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from tests.peers.minio_server import Minio, minio_server
from tests.peers.mongo_server import given_url, mongo_database, mongo_server
from tools import peers

Made = TypeVar("Made")


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


def require(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure when peers are required."""
    if os.environ.get("REQUIRE_PEERS", "") not in ("", "0"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_PEERS is set, and this peer is missing: {reason}"


class Readier:
    """Readies a peer, and skips where it can't be had. That a build begins is said at once, since it takes its time."""

    def __init__(self, config: pytest.Config) -> None:
        self._capture = config.pluginmanager.getplugin("capturemanager")

    def __call__(self, make: Callable[[peers.Say], Made]) -> Made:
        try:
            return make(self._say)
        except peers.PeerMissing as error:
            pytest.skip(str(error))

    def _say(self, text: str) -> None:
        with self._capture.global_and_fixture_disabled():
            print(f"\n{text}", flush=True)


@pytest.fixture(scope="session")
def peer(pytestconfig: pytest.Config) -> Readier:
    """Readies peers."""
    return Readier(pytestconfig)


@pytest.fixture(scope="session")
def mongo_command(peer: Readier) -> list[str]:
    """What starts a MongoDB peer, for tests that start and stop their own."""
    return peer(peers.mongo)


@pytest.fixture(scope="session")
def _mongo_server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if given := given_url():
        yield given
        return
    with mongo_server(request.getfixturevalue("mongo_command")) as server:
        yield server.url


@pytest.fixture
def mongo_url(_mongo_server_url: str) -> Iterator[str]:
    """The MONGODB_URL of an empty database of this test's own: on the server that TEST_MONGODB_URL or MONGODB_URL names, else on the
    peer."""
    with mongo_database(_mongo_server_url) as url:
        yield url


@pytest.fixture(scope="session")
def minio_program(peer: Readier) -> Path:
    """MinIO, for tests that start and stop their own."""
    return peer(peers.minio)


@pytest.fixture(scope="session")
def _minio_server(minio_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with minio_server(minio_program, tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def minio(_minio_server: Minio) -> Minio:
    """A MinIO for the whole run, with a bucket of this test's own that is not made yet."""
    return replace(_minio_server, bucket=f"antiphon-test-{secrets.token_hex(6)}")
