"""A thousand streams at one process, watchers that do not read, and thousands that are cancelled."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from tests.e2e.suite_process import ROOT, SuiteProcess
from tests.fakes.chat_upstream import Exchange, event, stop, text, upstream, used
from tests.fakes.served_suite import SECRET_KEY, Failed, failed, next_event, until
from tests.peers.programs import clean_environment

pytestmark = pytest.mark.long

STREAMS = 1000
CHANNELS = 10
WORDS = 20
PAUSE = 0.3
MANY_DESCRIPTORS = 8192
NONE_HANGS = 60.0
CATALOG = """
[providers.paced]
base_url = "{url}"

[[models]]
name = "paced"
provider = "paced"
"""
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]

Script = Callable[[Exchange], Awaitable[None]]


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """A thousand streams are some thousand sockets, in the suite's process and in this one; the suite inherits what is allowed here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY_DESCRIPTORS:
        pytest.skip(f"this user may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY_DESCRIPTORS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def serving(
    url: str, folder: Path, script: Script, start_suite: Callable[..., SuiteProcess], **settings: str
) -> AsyncIterator[SuiteProcess]:
    """A suite as a process, before a model that plays `script`."""
    async with upstream(script) as model:
        catalog = folder / "models.toml"
        catalog.write_text(CATALOG.format(url=model.base_url))
        suite = start_suite(
            folder / "suite",
            settings={
                "DATABASE_URL": url,
                "ANTIPHON_SECRET_KEY": SECRET_KEY,
                "ANTIPHON_CHAT__MODELS_FILE": str(catalog),
                **settings,
            },
        )

        async def up() -> bool:
            assert suite.process.poll() is None, suite.err
            return suite.is_up

        await until(up, 40)
        yield suite
        assert "exception" not in suite.err


def mebibytes(suite: SuiteProcess) -> float:
    rss: int = psutil.Process(suite.process.pid).memory_info().rss
    return rss / 2**20


@asynccontextmanager
async def stubs_of(suite: SuiteProcess, count: int) -> AsyncIterator[list[Any]]:
    """Ways to the suite, each a connection of its own."""
    channels = [grpc.aio.insecure_channel(suite.address, OPTIONS) for _ in range(count)]
    try:
        yield [chat_pb2_grpc.ChatServiceStub(channel) for channel in channels]
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


@dataclass
class Seen:
    """What one client saw. `arrivals` are the moments at which text came."""

    text: str = ""
    seq: int = 0
    dense: bool = True
    finished: bool = False
    arrivals: list[float] = field(default_factory=list)
    failed: Failed | None = None


async def watch(stub: Any) -> Seen:
    seen = Seen()
    request = chat_pb2.StreamChatRequest(message="Count", model="paced")
    try:
        async for response in stub.StreamChat(request):
            one = response.event
            seen.dense &= one.first_seq == seen.seq + 1
            seen.seq = one.seq
            seen.finished |= one.HasField("finished")
            if one.HasField("text_delta"):
                seen.text += one.text_delta.text
                seen.arrivals.append(time.monotonic())
    except grpc.aio.AioRpcError as error:
        seen.failed = failed(error)
    return seen


async def count(exchange: Exchange) -> None:
    """Numbered words at an even pace."""
    await exchange.head()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(1, WORDS + 1):
        await asyncio.sleep(began + number * PAUSE - loop.time())
        await exchange.chunk(event(text(f"{number} ")))
    for last in (stop(), used(1, WORDS)):
        await exchange.chunk(event(last))
    await exchange.chunk(b"data: [DONE]\n\n")
    await exchange.end()


WHOLE = "".join(f"{number} " for number in range(1, WORDS + 1))


@pytest.mark.parametrize("most", [2000, 300], ids=["room for all", "room for some"])
async def test_each_of_a_thousand_streams_is_served_or_refused(
    migrated_url: str, tmp_path: Path, start_suite: Callable[..., SuiteProcess], most: int
) -> None:
    room = {"ANTIPHON_CHAT__MAX_GENERATIONS": str(most)}
    async with (
        serving(migrated_url, tmp_path, count, start_suite, **room) as suite,
        stubs_of(suite, CHANNELS) as stubs,
    ):
        before = mebibytes(suite)
        began = time.monotonic()
        async with asyncio.timeout(NONE_HANGS):
            found = await asyncio.gather(*(watch(stubs[number % CHANNELS]) for number in range(STREAMS)))
        seconds = time.monotonic() - began
        print(
            f"\n{STREAMS} streams, room for {most}: {seconds:.1f} s for answers of {WORDS * PAUSE:.0f} s,"
            f" {before:.0f} MiB before, {mebibytes(suite):.0f} MiB behind them"
        )
    served = [seen for seen in found if seen.failed is None]
    refused = [seen.failed for seen in found if seen.failed is not None]
    print(f"served {len(served)}, refused {len(refused)}")
    assert all(seen.finished and seen.dense and seen.text == WHOLE for seen in served)
    assert Counter(one.what for one in refused) == (
        {("RESOURCE_EXHAUSTED", "OVERLOADED"): STREAMS - len(served)} if refused else {}
    )
    assert all(one.retry for one in refused)
    assert len(served) >= min(most, STREAMS)
    assert len(refused) == 0 or most < STREAMS


FAST_BYTES = 2_500_000
LINE = "a line of a long answer, as fast as the model can say it " * 8
STALLED = 50
OTHERS = 20


async def _fast_or_paced(exchange: Exchange) -> None:
    if exchange.json["messages"][-1]["content"] == "Count":
        await count(exchange)
        return
    await exchange.head()
    for number in range(FAST_BYTES // len(LINE)):
        await exchange.chunk(event(text(LINE)))
        if number % 20 == 0:
            await asyncio.sleep(0.01)
    await exchange.chunk(event(stop()) + b"data: [DONE]\n\n")
    await exchange.end()


def gaps(found: list[Seen]) -> list[float]:
    """How far apart words came, in order of length."""
    return sorted(
        later - earlier
        for seen in found
        for earlier, later in zip(seen.arrivals, seen.arrivals[1:], strict=False)
    )


async def test_watchers_that_do_not_read_slow_nobody_and_cost_little(
    migrated_url: str, tmp_path: Path, start_suite: Callable[..., SuiteProcess]
) -> None:
    async with (
        serving(migrated_url, tmp_path, _fast_or_paced, start_suite) as suite,
        stubs_of(suite, STALLED + 1) as stubs,
    ):
        alone = gaps(await asyncio.gather(*(watch(stubs[-1]) for _ in range(OTHERS))))
        # The same long answer without a watcher that stalls, so that what it costs itself is known.
        await _long(stubs[-1], ())
        before = mebibytes(suite)
        others = [asyncio.create_task(watch(stubs[-1])) for _ in range(OTHERS)]
        stalled, seconds = await _long(stubs[-1], stubs[:STALLED])
        beside = gaps(await asyncio.gather(*others))
        cost = mebibytes(suite) - before
        print(
            f"\n{STALLED} watchers that do not read of an answer of {FAST_BYTES / 2**20:.1f} MiB in {seconds:.1f} s:"
            f" {cost:+.1f} MiB; pauses of {PAUSE} s between the words of others, the longest of 95 in 100:"
            f" {alone[int(len(alone) * 0.95)]:.3f} s before, {beside[int(len(beside) * 0.95)]:.3f} s beside them"
        )
        # Whoever reads again, or leaves, finds the whole.
        assert len(await _rest(stalled[0])) == FAST_BYTES // len(LINE) * len(LINE)
        for call in stalled:
            call.cancel()
    # What a watcher that stalls holds is what is on its way to it: a window of HTTP/2 and a message that waits for it.
    assert cost < 60
    assert beside[int(len(beside) * 0.95)] < PAUSE + 0.25


async def _long(stub: Any, stalling: Any) -> tuple[list[Any], float]:
    """A long, fast answer that is read to its end, and watchers of it who read its beginning only."""
    began = time.monotonic()
    call = stub.StreamChat(chat_pb2.StreamChatRequest(message="Talk", model="paced"))
    started = (await next_event(call)).started
    request = chat_pb2.ResumeStreamRequest(
        generation_id=started.generation_id, resume_token=started.resume_token
    )
    watchers = [one.ResumeStream(request) for one in stalling]
    for watcher in watchers:
        assert (await next_event(watcher)).started == started
    length = 0
    async for response in call:
        length += len(response.event.text_delta.text)
    assert length == FAST_BYTES // len(LINE) * len(LINE)
    return watchers, time.monotonic() - began


async def _rest(call: Any) -> str:
    return "".join([response.event.text_delta.text async for response in call])


def test_thousands_of_cancelled_streams_leave_the_process_as_it_was(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tools.survival.cancelled", "--streams", "4000"],
        cwd=ROOT,
        env=clean_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"\n{ran.stdout}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
