"""What a client does when its tokens are taken away, when it is closed, and when the answer to a removal gets lost; both of its faces."""

import asyncio
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from antiphon_client import AsyncClient, Client, MemoryTokenStore, Retries, Tokens
from antiphon_client.errors import AntiphonError, Closed, NotFound, Unauthenticated, Unreachable
from tests.scripted_server import BROKEN, access_token, failing, until_the_caller_leaves
from tests.scripted_sessions import ScriptedSessions

QUICK = Retries(first_delay=0.001, max_delay=0.05)
UNKNOWN = "0198c5a2-0000-7000-8000-0000000000ff"


@pytest.fixture
def server() -> Iterator[ScriptedSessions]:
    with ScriptedSessions() as scripted:
        yield scripted


def kept() -> MemoryTokenStore:
    return MemoryTokenStore(Tokens(access_token=access_token("ana"), refresh_token="rt"))


def until_called(server: ScriptedSessions, times: int) -> None:
    deadline = time.monotonic() + 10
    while len(server.calls) < times:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def done_then_broken(server: ScriptedSessions) -> None:
    """The next DeleteSession is done, and its answer gets lost."""

    def lose(context: grpc.ServicerContext) -> object:
        server.sessions.clear()
        return BROKEN(context)

    server.fail("DeleteSession", lose)


def test_a_removal_whose_answer_got_lost_has_succeeded(server: ScriptedSessions) -> None:
    with Client(server.address, token="ak_1_secret", retries=QUICK) as client:
        session = server.open()
        done_then_broken(server)
        client.delete_session(session.session_id)
        assert len(server.of("DeleteSession")) == 2
        with pytest.raises(NotFound):
            client.delete_session(UNKNOWN)
        # A limit is told before anything is done.
        server.fail(
            "DeleteSession", failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.001)
        )
        with pytest.raises(NotFound):
            client.delete_session(UNKNOWN)
        server.fail("GetSession", BROKEN)
        with pytest.raises(NotFound):
            client.get_session(UNKNOWN)
        server.fail("DeleteSession", *[BROKEN] * 10)
        with pytest.raises(Unreachable):
            client.delete_session(UNKNOWN)


async def test_an_asynchronous_removal_whose_answer_got_lost_has_succeeded(server: ScriptedSessions) -> None:
    async with AsyncClient(server.address, token="ak_1_secret", retries=QUICK) as client:
        session = server.open()
        done_then_broken(server)
        await client.delete_session(session.session_id)
        with pytest.raises(NotFound):
            await client.delete_session(UNKNOWN)


def test_a_client_whose_tokens_were_taken_away_does_not_go_on_as_nobody(server: ScriptedSessions) -> None:
    store = kept()
    with Client(server.address, store=store, retries=QUICK) as client:
        list(client.stream("Hi"))
        tokens = store.load()
        store.save(None)
        for call in (lambda: list(client.stream("Hi")), lambda: client.chat("Hi"), client.access_token):
            with pytest.raises(Unauthenticated) as caught:
                call()
            assert caught.value.reason == "CREDENTIAL_MISSING"
        assert len(server.asked) == 1
        store.save(tokens)
        list(client.stream("Hi"))
        # Whoever logs out themselves is nobody from here on.
        client.logout()
        list(client.stream("Hi"))
        assert server.calls[-1].token == ""


async def test_an_asynchronous_client_whose_tokens_were_taken_away_neither(server: ScriptedSessions) -> None:
    store = kept()
    async with AsyncClient(server.address, store=store, retries=QUICK) as client:
        await client.chat("Hi")
        tokens = store.load()
        store.save(None)
        with pytest.raises(Unauthenticated):
            await client.chat("Hi")
        with pytest.raises(Unauthenticated):
            async for _ in client.stream("Hi"):
                pass
        store.save(tokens)
        await client.logout()
        await client.chat("Hi")
        assert server.calls[-1].token == ""


def test_a_closed_client_says_so(server: ScriptedSessions) -> None:
    client = Client(server.address, retries=QUICK)
    session = server.open()
    pages = client.list_sessions(page_size=1)
    server.open()
    next(pages)
    stream = client.stream("Hi")
    next(stream)
    client.close()
    client.close()
    for call in (
        lambda: client.chat("Hi"),
        lambda: client.get_session(session.session_id),
        lambda: list(client.stream("Hi")),
        lambda: list(stream),
        lambda: next(pages),
        lambda: client.login("ana@example.com", "correct horse"),
    ):
        with pytest.raises(Closed):
            call()


def test_closing_ends_the_calls_that_are_under_way(server: ScriptedSessions) -> None:
    client = Client(server.address, retries=Retries(first_delay=0.001, attempts=100))
    server.streams.append([server.record[0], until_the_caller_leaves])
    server.fail("GetSession", until_the_caller_leaves)
    ended: list[AntiphonError] = []

    def run(stream: bool) -> None:
        try:
            if stream:
                list(client.stream("Hi"))
            else:
                client.get_session(UNKNOWN)
        except AntiphonError as error:
            ended.append(error)

    threads = [threading.Thread(target=run, args=(stream,)) for stream in (True, False)]
    for thread in threads:
        thread.start()
    until_called(server, 2)
    client.close()
    for thread in threads:
        thread.join(10)
    assert [type(error) for error in ended] == [Closed, Closed]
    assert len(server.calls) == 2


async def test_a_closed_asynchronous_client_says_so(server: ScriptedSessions) -> None:
    client = AsyncClient(server.address, retries=QUICK)
    server.streams.append([server.record[0], until_the_caller_leaves])
    server.fail("GetSession", until_the_caller_leaves)

    async def watch() -> None:
        async for _ in client.stream("Hi"):
            pass

    under_way = [asyncio.create_task(watch()), asyncio.create_task(client.get_session(UNKNOWN))]
    await asyncio.to_thread(until_called, server, 2)
    await client.close()
    ended = await asyncio.gather(*under_way, return_exceptions=True)
    assert [type(error) for error in ended] == [Closed, Closed]
    await client.close()
    with pytest.raises(Closed):
        await client.chat("Hi")
    with pytest.raises(Closed):
        await watch()
    with pytest.raises(Closed):
        await client.login("ana@example.com", "correct horse")
    never_used = AsyncClient(server.address)
    await never_used.close()
    with pytest.raises(Closed):
        await never_used.list_models()


async def test_a_caller_that_is_cancelled_is_cancelled(server: ScriptedSessions) -> None:
    server.fail("GetSession", until_the_caller_leaves)
    async with AsyncClient(server.address, retries=QUICK) as client:
        asking = asyncio.create_task(client.get_session(UNKNOWN))
        await asyncio.to_thread(until_called, server, 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
