"""Tests that play against real peers: all of this folder, by `make test-peers`."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from conformance.driver.building import built
from conformance.driver.failures import BuildFailed, ToolsMissing
from conformance.driver.languages import LANGUAGES, Language
from tests.peers.grpcurl import Grpcurl
from tests.peers.llama_server import LlamaServer, llama_server
from tests.peers.readying import Readier, require
from tests.peers.suite import Suite, running_suite
from tools import peers

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("peers") is None:
            item.add_marker(pytest.mark.peers)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With REQUIRE_PEERS=1 a file that skips itself as a whole fails."""
    report = yield
    if report.skipped:
        require(report)
    return report


@pytest.fixture(scope="session")
def llama_python(peer: Readier) -> Path:
    """The Python that has the llama.cpp server."""
    return peer(peers.llama_python)


@pytest.fixture(scope="session")
def grpcurl_program(peer: Readier) -> Path:
    """grpcurl."""
    return peer(peers.grpcurl)


@pytest.fixture
def runner(peer: Readier, language: str) -> Language:
    """The language of a client, with its runner of the conformance cases built."""

    def make(say: peers.Say) -> Language:
        try:
            built(LANGUAGES[language], say)
        except ToolsMissing as error:
            raise peers.PeerMissing(str(error)) from error
        except BuildFailed as error:
            pytest.fail(str(error))
        return LANGUAGES[language]

    return peer(make)


@pytest.fixture(scope="session")
def llama(llama_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """A llama.cpp server for the whole run. It makes one answer at a time, so a test ends what it begins."""
    with llama_server(llama_python, tmp_path_factory.mktemp("llama")) as server:
        yield server


@pytest.fixture(scope="session")
def suite(llama: LlamaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite whose default model is at that server, by OPENAI_BASE_URL alone."""
    with running_suite(tmp_path_factory.mktemp("suite"), OPENAI_BASE_URL=llama.base_url) as running:
        yield running


@pytest.fixture(scope="session")
def grpcurl(grpcurl_program: Path, suite: Suite) -> Grpcurl:
    """grpcurl for that suite, as a person who has registered and logged in with the command there."""
    return Grpcurl(grpcurl_program, suite.address, suite.enter())
