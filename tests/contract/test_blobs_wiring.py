"""The object store at the start and on the health page, and what an S3 server's refusals mean; without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from services.capabilities.blobs.errors import (
    NoSuchBucket,
    StoreAway,
    StoreBusy,
    StoreFull,
    StoreRefuses,
    StoreUnavailable,
)
from services.capabilities.blobs.stores.s3 import S3Blobs
from services.capabilities.blobs.stores.s3_failures import NoSuchObject, Unmet, failure_of
from services.capabilities.blobs.stores.turns import Turns
from services.capabilities.blobs.watched import WatchedBlobs
from services.capabilities.blobs.wiring import BlobsCheck, account_of, build, described
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError
from services.settings import BlobSettings, SecretStr
from tests.fakes.blobs_memory import MemoryBlobs
from tests.fakes.blobs_pieces import Pieces
from tests.peers.programs import free_port

_SECRET = "s3cr3t-of-the-bucket"


def _settings(endpoint: str | None, **changes: object) -> BlobSettings:
    found: dict[str, object] = {
        "s3_endpoint": endpoint,
        "s3_access_key": SecretStr("AKIATEST"),
        "s3_secret_key": SecretStr(_SECRET),
        "timeout": 1.0,
    }
    return BlobSettings(**(found | changes))  # type: ignore[arg-type]


async def _refusal(settings: BlobSettings, data_dir: Path, patience: float = 0.0) -> StartupError:
    with pytest.raises(StartupError) as failed:
        async with build(settings, data_dir, patience=patience):
            pass
    assert _SECRET not in str(failed.value)
    assert failed.value.advice
    return failed.value


@pytest.fixture
async def careless() -> AsyncIterator[str]:
    """The address of a server that takes every write, whatever its condition, and has no object."""

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        if request.method == "POST":
            key = (await request.text()).partition("<Key>")[2].partition("</Key>")[0]
            return web.Response(text=f"<DeleteResult><Deleted><Key>{key}</Key></Deleted></DeleteResult>")
        return web.Response(headers={"ETag": '"1"'})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_the_folder_is_made_in_the_data_directory_and_is_private(tmp_path: Path) -> None:
    async with build(BlobSettings(), tmp_path) as blobs:
        await blobs.put("a.png", b"1", "image/png")
    assert (tmp_path / "blobs" / "a.png").read_bytes() == b"1"
    assert (tmp_path / "blobs").stat().st_mode & 0o777 == 0o700
    assert described(BlobSettings(), tmp_path) == f"the folder {tmp_path / 'blobs'}"


async def test_a_folder_that_is_a_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = await _refusal(BlobSettings(folder=tmp_path / "file"), tmp_path)
    assert str(tmp_path / "file") in refused.message
    assert "ANTIPHON_BLOBS__FOLDER" in refused.advice


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"s3_access_key": None}, "S3_SECRET_KEY"),
        ({"s3_access_key": None, "s3_endpoint": None}, "S3_ACCESS_KEY"),
        ({"folder": Path("/srv/objects")}, "ANTIPHON_BLOBS__FOLDER"),
        ({"s3_secret_key": None}, "S3_SECRET_KEY"),
        ({"s3_bucket": "No/Bucket"}, "S3_BUCKET"),
        ({"s3_region": "</x>"}, "S3_REGION"),
        ({"s3_endpoint": f"http://me:{_SECRET}@127.0.0.1:9000"}, "S3_ENDPOINT"),
        ({"s3_public_endpoint": f"https://objects.test/?key={_SECRET}"}, "S3_PUBLIC_ENDPOINT"),
    ],
)
async def test_settings_that_can_not_be_meant_stop_the_start_at_once(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    settings = _settings("http://127.0.0.1:1", **changes)
    refused = await _refusal(settings, tmp_path, patience=60.0)
    assert named in f"{refused.message} {refused.advice}"
    assert _SECRET not in described(settings, tmp_path)


async def test_a_server_that_nobody_started_is_waited_for_in_vain(tmp_path: Path) -> None:
    port = free_port()
    refused = await _refusal(_settings(f"http://127.0.0.1:{port}"), tmp_path)
    assert "Nobody listens" in refused.message
    assert f"s3://llmhist-image-dev at http://127.0.0.1:{port}" in refused.message


async def test_a_server_that_never_answers_is_given_up_in_time(tmp_path: Path) -> None:
    silent = await asyncio.start_server(lambda _, __: asyncio.sleep(20), "127.0.0.1", 0)
    async with silent:
        started = time.monotonic()
        port = silent.sockets[0].getsockname()[1]
        refused = await _refusal(_settings(f"http://127.0.0.1:{port}", timeout=0.2), tmp_path)
    assert "in time" in refused.message
    assert time.monotonic() - started < 5


async def test_a_server_that_takes_no_part_is_given_up_in_time() -> None:
    silent = await asyncio.start_server(lambda _, __: asyncio.sleep(20), "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        blobs = S3Blobs(account_of(_settings(f"http://127.0.0.1:{port}", timeout=0.2)))
        started, sent = time.monotonic(), Pieces([bytes(1024**2)] * 9)
        with pytest.raises(StoreAway, match="in time"):
            await blobs.put_pieces("a.flac", sent, "audio/flac")
    assert sent.closed
    assert time.monotonic() - started < 5


async def test_a_server_that_ignores_conditions_is_refused(careless: str, tmp_path: Path) -> None:
    refused = await _refusal(_settings(careless), tmp_path)
    assert "ignores the conditions" in refused.message


@pytest.mark.parametrize(
    ("status", "code", "meaning", "advice"),
    [
        (403, "InvalidAccessKeyId", StoreRefuses, "S3_ACCESS_KEY"),
        (403, "SignatureDoesNotMatch", StoreRefuses, "S3_SECRET_KEY"),
        (403, "RequestTimeTooSkewed", StoreRefuses, "NTP"),
        (403, "AccessDenied", StoreRefuses, "S3_BUCKET"),
        (403, "", StoreRefuses, "S3_BUCKET"),
        (404, "NoSuchBucket", NoSuchBucket, "S3_BUCKET"),
        (404, "", StoreRefuses, "S3_ENDPOINT"),
        (409, "BucketAlreadyExists", StoreRefuses, "S3_BUCKET"),
        (400, "AuthorizationHeaderMalformed", StoreRefuses, "S3_REGION"),
        (501, "NotImplemented", StoreRefuses, "conditional"),
        (503, "SlowDown", StoreBusy, ""),
        (507, "XMinioStorageFull", StoreFull, "room"),
        (500, "InternalError", StoreAway, "log"),
    ],
)
def test_a_refusal_tells_the_operator_what_to_do(
    status: int, code: str, meaning: type[StoreUnavailable], advice: str
) -> None:
    said = f"Server returned non-2xx status code: {status} X: <Error><Code>{code}</Code><Key>{_SECRET}</Key></Error>"
    failure = failure_of(said)
    assert type(failure) is meaning
    assert advice in failure.advice
    assert _SECRET not in f"{failure.message} {failure.advice}"


def test_an_answer_that_is_no_failure_is_told_apart() -> None:
    assert isinstance(failure_of("<Code>NoSuchKey</Code>", 404), NoSuchObject)
    assert isinstance(failure_of("<Code>PreconditionFailed</Code>", 412), Unmet)
    assert isinstance(failure_of("<Code>ConditionalRequestConflict</Code>", 409), Unmet)


async def test_the_check_asks_now_and_then_and_says_what_is_wrong() -> None:
    blobs, now = MemoryBlobs(), 0.0
    check = BlobsCheck(WatchedBlobs(blobs), fresh_seconds=5.0, clock=lambda: now)
    assert await asyncio.gather(*(check.check() for _ in range(10))) == [None] * 10
    assert blobs.calls == [("ping", "")]
    blobs.fail_next(2, "ping")
    assert await check.check() is None
    now = 5.0
    first = await check.check()
    now = 10.0
    assert first is not None
    assert await check.check() == first
    now = 15.0
    assert await check.check() is None


async def test_a_store_that_takes_no_writes_is_told_once_and_shown_until_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, now = MemoryBlobs(), 0.0
    blobs = WatchedBlobs(store, clock=lambda: now)
    check = BlobsCheck(blobs)
    store.fail_next(5, "put")
    for _ in range(5):
        with pytest.raises(Unavailable):
            await blobs.put("a", b"123", "text/plain")
    (told,) = caplog.records
    assert told.levelname == "WARNING"
    # Where there is room for little things, there need not be any for others.
    await blobs.put("b", b"1", "text/plain")
    assert await check.check() == blobs.refusing == told.__dict__["why"]
    await blobs.put("a", b"123", "text/plain")
    assert await check.check() is None
    assert len(caplog.records) == 2


async def test_pieces_that_the_store_refuses_are_told_and_those_that_never_come_are_not() -> None:
    store = MemoryBlobs()
    blobs = WatchedBlobs(store)

    async def fail() -> None:
        raise Unavailable("The voice is away.")

    with pytest.raises(Unavailable, match="voice"):
        await blobs.put_pieces("a", Pieces([b"1"], before_end=fail), "audio/flac")
    assert blobs.refusing is None
    store.fail_next(1, "put_pieces")
    sent = Pieces([b"1", b"23"])
    with pytest.raises(Unavailable):
        await blobs.put_pieces("a", sent, "audio/flac")
    assert (blobs.refusing is None, sent.closed) == (False, True)
    await blobs.put_pieces("a", Pieces([b"1", b"23"]), "audio/flac")
    assert blobs.refusing is None
    assert store.objects == {"a": b"123"}


async def test_what_failed_long_ago_keeps_nobody_from_trying_again() -> None:
    store, now = MemoryBlobs(), 0.0
    blobs = WatchedBlobs(store, clock=lambda: now)
    store.fail_next(1, "create")
    with pytest.raises(Unavailable):
        await blobs.create("a", b"123", "text/plain")
    assert blobs.refusing
    now = 60.0
    assert blobs.refusing is None


async def test_no_more_calls_wait_for_their_turn_than_may() -> None:
    turns, release = Turns(at_once=1, waiting=1), asyncio.Event()

    async def call() -> None:
        async with turns.turn():
            await release.wait()

    calls = [asyncio.create_task(call()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreBusy):
        await call()
    release.set()
    await asyncio.gather(*calls)
    await call()
