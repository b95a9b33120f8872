"""A call's time is its own, also while another call renews the tokens that both need."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from antiphon_client import AsyncClient, Client, MemoryTokenStore, Tokens
from antiphon_client.errors import AntiphonError, Closed, DeadlineExceeded, Unauthenticated
from services.cli.credentials import CredentialsFile
from tests.scripted_server import ScriptedServer, failing

SHORT, LONG = 0.15, 20.0
REUSED = failing(grpc.StatusCode.UNAUTHENTICATED, "REFRESH_TOKEN_REUSED", "log in again")
CALLS: dict[str, Callable[[Client], object]] = {
    "a call": lambda client: client.profile(timeout=SHORT),
    "a stream": lambda client: list(client.stream("Hi", timeout=SHORT)),
    "a renewal": lambda client: client.refresh(timeout=SHORT),
    "a login": lambda client: client.login("ana@example.com", "correct horse", timeout=SHORT),
    "a logout": lambda client: client.logout(timeout=SHORT),
    "the token": lambda client: client.access_token(timeout=SHORT),
}


class Renewal:
    """A renewal that the server is at until it is let go."""

    def __init__(self, server: ScriptedServer) -> None:
        self.under_way, self.let_go, self.over = threading.Event(), threading.Event(), threading.Event()
        server.fail("RefreshToken", self._hold)

    def _hold(self, _: grpc.ServicerContext) -> None:
        self.under_way.set()
        self.let_go.wait(LONG)
        self.over.set()


class CountedStore(MemoryTokenStore):
    """Counts how often its tokens were looked at."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self.loads, self._counting = 0, threading.Lock()

    def load(self) -> Tokens | None:
        """The tokens."""
        with self._counting:
            self.loads += 1
        return super().load()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


@pytest.fixture
def renewal(server: ScriptedServer) -> Iterator[Renewal]:
    held = Renewal(server)
    yield held
    held.let_go.set()


def due(server: ScriptedServer) -> Tokens:
    """Tokens that have to be renewed before anything else."""
    response = server.issue("first")
    return Tokens(response.access_token, time.time() - 1, response.refresh_token, time.time() + 9999)


@pytest.mark.parametrize("what", CALLS)
def test_a_call_ends_in_its_time_while_another_thread_renews(
    server: ScriptedServer, renewal: Renewal, what: str
) -> None:
    store = MemoryTokenStore(due(server))
    with Client(server.address, store=store) as client, ThreadPoolExecutor(1) as pool:
        other = pool.submit(client.profile, timeout=LONG)
        assert renewal.under_way.wait(5)
        with pytest.raises(DeadlineExceeded):
            CALLS[what](client)
        assert not renewal.over.is_set(), "it waited for the other"
        renewal.let_go.set()
        assert other.result(10).email == "ana@example.com"
        # Whoever waited in vain holds nothing up.
        assert client.profile(timeout=10).email == "ana@example.com"
    assert len(server.of("RefreshToken")) == 1


@pytest.mark.parametrize("what", ["a call", "a logout"])
def test_a_call_ends_in_its_time_while_another_process_renews(
    server: ScriptedServer, renewal: Renewal, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "credentials.json"
    CredentialsFile("s", path).save(due(server))
    others = CredentialsFile("s", path)
    with Client(server.address, store=CredentialsFile("s", path)) as client:
        with others.exclusive(), pytest.raises(DeadlineExceeded):
            CALLS[what](client)
        assert server.calls == []
        renewal.let_go.set()
        assert client.profile(timeout=10).email == "ana@example.com"


async def test_a_task_ends_in_its_time_while_another_renews(server: ScriptedServer, renewal: Renewal) -> None:
    store = MemoryTokenStore(due(server))
    async with AsyncClient(server.address, store=store) as client:
        other = asyncio.create_task(client.profile(timeout=LONG))
        assert await asyncio.to_thread(renewal.under_way.wait, 5)
        for call in (
            client.profile(timeout=SHORT),
            client.login("ana@example.com", "correct horse", timeout=SHORT),
            client.logout(timeout=SHORT),
        ):
            with pytest.raises(DeadlineExceeded):
                await call
        assert not renewal.over.is_set(), "one of them waited for the other"
        renewal.let_go.set()
        assert (await other).email == "ana@example.com"
    tokens = store.load()
    assert tokens is not None
    assert tokens.refresh_token.startswith("refresh-renewed"), (
        "a login that failed, or a logout, was done later"
    )


def test_a_failed_wait_is_told_as_what_it_is(server: ScriptedServer, renewal: Renewal) -> None:
    with Client(server.address, store=MemoryTokenStore(due(server))) as client, ThreadPoolExecutor(1) as pool:
        other = pool.submit(client.profile, timeout=LONG)
        assert renewal.under_way.wait(5)
        with pytest.raises(AntiphonError, match=f"tokens for {server.address}") as caught:
            client.profile(timeout=SHORT)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        renewal.let_go.set()
        with contextlib.suppress(AntiphonError):
            other.result(10)


def test_threads_share_a_renewal_that_failed(server: ScriptedServer) -> None:
    callers = 10
    store = CountedStore(due(server))

    def fail(context: grpc.ServicerContext) -> object:
        # Each loads the tokens once before it waits, and the one that renews them once more.
        end = time.monotonic() + 10
        while store.loads <= callers:
            assert time.monotonic() < end
            time.sleep(0.01)
        return REUSED(context)

    server.fail("RefreshToken", fail, *[REUSED] * callers)
    with Client(server.address, store=store) as client, ThreadPoolExecutor(callers) as pool:
        asked = [pool.submit(client.profile, timeout=LONG) for _ in range(callers)]
        failures = [each.exception(LONG) for each in asked]
        assert all(isinstance(failure, Unauthenticated) for failure in failures)
        assert len({id(failure) for failure in failures}) == callers, "each has an exception of its own"
        assert len(server.of("RefreshToken")) == 1
        # Whoever asks later asks anew.
        with pytest.raises(Unauthenticated):
            client.profile()
        assert len(server.of("RefreshToken")) == 2


async def test_tasks_share_a_renewal_that_failed(server: ScriptedServer) -> None:
    server.fail("RefreshToken", *[REUSED] * 20)
    async with AsyncClient(server.address, store=MemoryTokenStore(due(server))) as client:
        for call in (client.profile, client.refresh):
            before = len(server.of("RefreshToken"))
            failures = await asyncio.gather(*(call() for _ in range(10)), return_exceptions=True)
            assert all(isinstance(failure, Unauthenticated) for failure in failures)
            assert len(server.of("RefreshToken")) == before + 1


async def test_closing_does_not_wait_for_a_renewal_that_hangs(
    server: ScriptedServer, renewal: Renewal
) -> None:
    client = AsyncClient(server.address, store=MemoryTokenStore(due(server)))
    before = asyncio.all_tasks()
    calls = [asyncio.create_task(call) for call in (client.profile(), client.logout())]
    assert await asyncio.to_thread(renewal.under_way.wait, 5)
    began = time.monotonic()
    await client.close()
    assert time.monotonic() - began < 5
    assert not renewal.over.is_set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ended] == [Closed, Closed]
    assert asyncio.all_tasks() == before
