"""The object store in a real S3 server, where it is more than the port's suite asks: links, large objects, and a server that goes away."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from services.capabilities.blobs.wiring import BlobsCheck, build
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError
from services.settings import SecretStr
from tests.fakes.blobs_pieces import Pieces
from tests.peers.minio_server import Minio, minio_server
from tests.peers.programs import Program, clean_environment, eventually, free_port

pytestmark = pytest.mark.peers

_KEY = "requests/2026/11/30/0193/image/original.png"


async def _status(link: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as http, http.get(URL(link, encoded=True)) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.read()


async def test_a_link_gives_anybody_the_object_until_it_expires(minio: Minio, tmp_path: Path) -> None:
    async with build(minio.settings(), tmp_path) as blobs:
        await blobs.put(_KEY, b"pixels", "image/png")
        link, short = await blobs.link(_KEY, 60), await blobs.link(_KEY, 1)
        assert minio.secret_key not in link
        assert await _status(link) == (200, "image/png", b"pixels")
        deadline = time.monotonic() + 10
        while (await _status(short))[0] == 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert (await _status(short))[0] == 403
        assert (await _status(link.replace("original", "other")))[0] == 403


async def test_links_have_the_public_address(minio: Minio, tmp_path: Path) -> None:
    settings = replace(minio.settings(), s3_public_endpoint="https://objects.test:8443")
    async with build(settings, tmp_path) as blobs:
        assert (await blobs.link(_KEY, 60)).startswith(f"https://objects.test:8443/{minio.bucket}/{_KEY}?")


async def test_a_large_object_is_stored_in_parts_and_keeps_its_type(minio: Minio, tmp_path: Path) -> None:
    data = os.urandom(40 * 1024**2)
    async with build(minio.settings(), tmp_path) as blobs:
        await blobs.put(_KEY, data, "image/png")
        found = await blobs.get(_KEY, len(data))
        assert found is not None
        assert (found.data == data, found.content_type) == (True, "image/png")
        assert await blobs.replace(_KEY, b"small", "image/png", found.version)
        with pytest.raises(ValueError):
            await blobs.get(_KEY, 4)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_upload_that_breaks_off_leaves_no_hidden_parts(
    minio_program: Path, tmp_path: Path, cancelled: bool
) -> None:
    waits = asyncio.Event()

    async def end() -> None:
        waits.set()
        if not cancelled:
            raise LookupError
        await asyncio.sleep(20)

    with minio_server(minio_program, tmp_path) as server:
        async with build(server.settings(), tmp_path) as blobs:
            sent = Pieces([os.urandom(1024**2)] * 20, before_end=end)
            writing = asyncio.create_task(blobs.put_pieces(_KEY, sent, "audio/flac"))
            await asyncio.wait_for(waits.wait(), 20)
            if cancelled:
                writing.cancel()
            with pytest.raises(asyncio.CancelledError if cancelled else LookupError):
                await writing
            assert [entry.key async for entry in blobs.list("")] == []
        # A folder for each object that has uploads, and in it one for each of them.
        uploads = tmp_path / "objects" / ".minio.sys" / "multipart"
        assert [*uploads.glob("*/*")] == []


async def test_a_second_start_finds_the_bucket_and_leaves_nothing_in_it(minio: Minio, tmp_path: Path) -> None:
    for _ in range(2):
        async with build(minio.settings(), tmp_path) as blobs:
            await blobs.put(_KEY, b"1", "image/png")
    async with build(replace(minio.settings(), s3_bucket=minio.bucket), tmp_path) as blobs:
        assert [entry.key async for entry in blobs.list("")] == [_KEY]


async def test_keys_in_the_environment_of_somebody_else_are_not_used(
    minio: Minio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "AWS_ACCESS_KEY_ID": "AKIAOTHER",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "eu-west-3",
    }.items():
        monkeypatch.setenv(name, text)
    async with build(minio.settings(), tmp_path) as blobs:
        await blobs.put(_KEY, b"1", "image/png")
        assert (await _status(await blobs.link(_KEY, 60)))[0] == 200


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"s3_access_key": SecretStr("nobody")}, "S3_ACCESS_KEY"),
        ({"s3_secret_key": SecretStr("wrong-secret")}, "S3_SECRET_KEY"),
        ({"s3_endpoint": "http://nowhere.invalid:9000"}, "S3_ENDPOINT"),
        ({"s3_endpoint": "https"}, "http://"),
    ],
)
async def test_a_start_that_is_refused_says_what_to_correct(
    minio: Minio, tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    if changes.get("s3_endpoint") == "https":
        changes = {"s3_endpoint": minio.endpoint.replace("http:", "https:")}
    with pytest.raises(StartupError) as failed:
        async with build(replace(minio.settings(), **changes), tmp_path, patience=0.0):  # type: ignore[arg-type]
            pass
    assert named in failed.value.advice
    assert "wrong-secret" not in str(failed.value)
    assert minio.secret_key not in str(failed.value)


async def test_a_server_that_stops_is_told_in_time_and_found_again(
    minio_program: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    with minio_server(minio_program, tmp_path, port) as server:
        settings = server.settings(timeout=2.0)
        async with build(settings, tmp_path) as blobs:
            check = BlobsCheck(blobs, fresh_seconds=0.0)
            await blobs.put(_KEY, b"1", "image/png")
            assert await check.check() is None
            server.stop()
            for call in (
                blobs.put(_KEY, b"2", "image/png"),
                blobs.put_pieces("a", Pieces([bytes(1024**2)] * 9), "image/png"),
                blobs.create("a", b"2", "image/png"),
                blobs.get(_KEY, 10),
                blobs.delete([_KEY]),
                blobs.ping(),
            ):
                started = time.monotonic()
                with pytest.raises(Unavailable):
                    await call
                assert time.monotonic() - started < 4
            assert "Nobody listens" in (await check.check() or "")
            assert await check.check() == await check.check()
            with pytest.raises(Unavailable):
                _ = [entry async for entry in blobs.list("")]
    assert server.secret_key not in caplog.text
    assert server.access_key not in caplog.text


async def test_a_start_waits_for_a_server_that_is_starting(minio_program: Path, tmp_path: Path) -> None:
    port = free_port()
    with minio_server(minio_program, tmp_path / "first") as made:
        settings = replace(made.settings(), s3_endpoint=f"http://127.0.0.1:{port}")

    async def begin() -> None:
        async with build(settings, tmp_path, patience=30.0) as blobs:
            await blobs.ping()

    starting = asyncio.create_task(begin())
    await asyncio.sleep(0)
    with minio_server(minio_program, tmp_path / "second", port, keys=(made.access_key, made.secret_key)):
        await starting


def test_processes_that_add_lines_lose_none(minio: Minio, tmp_path: Path) -> None:
    environment = clean_environment(PYTHONPATH=os.pathsep.join(sys.path), **minio.environment)
    command = [sys.executable, "-m", "tests.fakes.blobs_writing", "append", "users/u1/30.jsonl"]
    writers = [Program([*command, str(name), "20"], tmp_path, environment) for name in range(3)]
    eventually(lambda: not any(writer.running for writer in writers), "the end of the writers", 50.0)
    assert [writer.stop() for writer in writers] == [0] * 3

    async def lines() -> list[str]:
        async with build(minio.settings(), tmp_path) as blobs:
            found = await blobs.get("users/u1/30.jsonl", 1024**2)
        return [] if found is None else found.data.decode().splitlines()

    expected = sorted(f"{name} {number}" for name in range(3) for number in range(20))
    assert sorted(asyncio.run(lines())) == expected
