"""The object store: one suite for the folder, for the memory that other tests use, and for a real S3 server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.capabilities.blobs.ports import Blobs
from services.capabilities.blobs.wiring import build
from services.kernel.errors import Unavailable
from services.settings import BlobSettings
from tests.fakes.blobs_memory import MemoryBlobs
from tests.fakes.blobs_pieces import Pieces
from tests.fakes.blobs_writing import append

_KEY = "requests/2026/11/30/0193/image/original.png"
_PNG = "image/png"
_AUDIO = "requests/2026/11/30/0193/audio/original.flac"
_FLAC = "audio/flac"


@pytest.fixture(params=["memory", "folder", pytest.param("minio", marks=pytest.mark.peers)])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryBlobs()
        return
    settings = BlobSettings()
    if request.param == "minio":
        settings = request.getfixturevalue("minio").settings()
    async with build(settings, tmp_path) as opened:
        yield opened


async def _read(blobs: Blobs, key: str) -> bytes:
    found = await blobs.get(key, 1024**2)
    assert found is not None
    return found.data


async def _keys(blobs: Blobs, prefix: str) -> list[str]:
    return [entry.key async for entry in blobs.list(prefix)]


async def test_an_object_is_what_was_put_last(blobs: Blobs) -> None:
    await blobs.put(_KEY, b"first", _PNG)
    await blobs.put(_KEY, b"", "application/json")
    found = await blobs.get(_KEY, 0)
    assert found is not None
    assert (found.data, found.content_type) == (b"", "application/json")


@pytest.mark.parametrize("key", ["a/original.png", "a/history.jsonl", "a/strange.ending", "a/none"])
async def test_the_content_type_is_kept_whatever_the_key_ends_with(blobs: Blobs, key: str) -> None:
    for content_type in ("image/png", "text/plain; charset=utf-8"):
        await blobs.put(key, b"0123", content_type)
        async with blobs.open(key) as opened:
            assert opened is not None
            assert (opened.content_type, opened.size) == (content_type, 4)
            assert b"".join([piece async for piece in opened.chunks]) == b"0123"
        assert [entry.size async for entry in blobs.list("a/")] == [4]


async def test_what_is_not_there_is_none_and_can_be_removed(blobs: Blobs) -> None:
    await blobs.put("a/b", b"1", _PNG)
    assert await blobs.get("a", 10) is None
    assert await blobs.get("a/b/c", 10) is None
    async with blobs.open("x/y") as opened:
        assert opened is None
    assert not await blobs.replace("x/y", b"2", _PNG, "0")
    await blobs.delete(["x/y", "a", "a/b", "a/b"])
    await blobs.delete([])
    assert await _keys(blobs, "") == []


async def test_of_a_hundred_that_create_an_object_at_once_one_does(blobs: Blobs) -> None:
    done = await asyncio.gather(*(blobs.create(_KEY, str(number).encode(), _PNG) for number in range(100)))
    assert sum(done) == 1
    assert await _read(blobs, _KEY) == str(done.index(True)).encode()


async def test_an_object_is_replaced_only_by_who_has_read_it_as_it_is(blobs: Blobs) -> None:
    await blobs.put(_KEY, b"1", _PNG)
    read = await blobs.get(_KEY, 10)
    assert read is not None
    done = await asyncio.gather(*(blobs.replace(_KEY, b"2" * n, _PNG, read.version) for n in range(1, 9)))
    assert sum(done) == 1
    assert await _read(blobs, _KEY) == b"2" * (done.index(True) + 1)
    assert not await blobs.replace(_KEY, b"3", _PNG, read.version)


async def test_lines_that_many_add_at_once_are_all_there(blobs: Blobs) -> None:
    async def add(name: str) -> None:
        for number in range(5):
            await append(blobs, "users/u1/image/history/2026/11/30.jsonl", f"{name} {number}\n")

    await asyncio.gather(*(add(name) for name in "abcd"))
    lines = (await _read(blobs, "users/u1/image/history/2026/11/30.jsonl")).decode().splitlines()
    assert sorted(lines) == [f"{name} {number}" for name in "abcd" for number in range(5)]


async def test_no_more_is_read_at_once_than_is_allowed(blobs: Blobs) -> None:
    await blobs.put(_KEY, b"12345", _PNG)
    assert await blobs.get(_KEY, 5) is not None
    with pytest.raises(ValueError, match="5 bytes"):
        await blobs.get(_KEY, 4)


async def test_a_reader_has_one_version_to_its_end_though_it_is_replaced_and_removed(blobs: Blobs) -> None:
    old, new = b"old " * 500_000, b"new " * 400_000
    await blobs.put(_KEY, old, _PNG)
    read: list[bytes] = []
    async with blobs.open(_KEY) as opened:
        assert opened is not None
        async for piece in opened.chunks:
            if not read:
                await blobs.put(_KEY, new, _PNG)
                await blobs.delete([_KEY])
            read.append(piece)
    assert b"".join(read) == old
    assert max(map(len, read)) <= 64 * 1024


async def test_a_list_is_in_the_order_of_the_keys_and_matches_whole_segments(blobs: Blobs) -> None:
    keys = ["a-b/x", "a.b", "a/b-c", "a/b.d", "a/b/c/d", "a/b0", "a/bb/c", "ab/c"]
    for key in reversed(keys):
        await blobs.put(key, key.encode(), _PNG)
    assert await _keys(blobs, "") == keys
    assert await _keys(blobs, "a/b/") == ["a/b/c/d"]
    assert await _keys(blobs, "a/none/") == []
    assert [entry.size async for entry in blobs.list("a/")] == [5, 5, 7, 4, 6]


@pytest.mark.parametrize("pieces", [[], [b""], [b"fLaC"], [b"f", b"", b"La", b"C" * 1000]])
async def test_pieces_become_one_object_in_their_order(blobs: Blobs, pieces: list[bytes]) -> None:
    await blobs.put(_AUDIO, b"old", _PNG)
    sent = Pieces(pieces)
    await blobs.put_pieces(_AUDIO, sent, _FLAC)
    found = await blobs.get(_AUDIO, 2000)
    assert found is not None
    assert (found.data, found.content_type, sent.closed) == (b"".join(pieces), _FLAC, True)


async def test_a_large_object_in_pieces_is_seen_when_it_is_whole(blobs: Blobs) -> None:
    await blobs.put(_AUDIO, b"old", _FLAC)
    block = os.urandom(1024**2)
    # The last piece is larger than what any store sends at once.
    pieces = [block * 3, block[:-1], b"", block[:1], block * 7 + block[:77], block * 9]
    seen: list[bytes] = []

    async def look() -> None:
        seen.append(await _read(blobs, _AUDIO))

    sent = Pieces(pieces, before_end=look)
    await blobs.put_pieces(_AUDIO, sent, _FLAC)
    assert (seen, sent.closed) == ([b"old"], True)
    read = bytearray()
    async with blobs.open(_AUDIO) as opened:
        assert opened is not None
        assert (opened.size, opened.content_type) == (len(b"".join(pieces)), _FLAC)
        async for chunk in opened.chunks:
            read += chunk
    assert bytes(read) == b"".join(pieces)


@pytest.mark.parametrize("megabytes", [0, 17])
@pytest.mark.parametrize("there", [False, True])
async def test_pieces_that_break_off_leave_what_was_there(blobs: Blobs, megabytes: int, there: bool) -> None:
    if there:
        await blobs.put(_AUDIO, b"old", _FLAC)
    before = [(entry.key, entry.size) async for entry in blobs.list("")]
    for failure in (LookupError("the source ended"), OSError(5, "a spool"), TimeoutError(), Unavailable("x")):

        async def fail(failure: Exception = failure) -> None:
            raise failure

        sent = Pieces([bytes(1024**2)] * megabytes, before_end=fail)
        with pytest.raises(type(failure)) as raised:
            await blobs.put_pieces(_AUDIO, sent, _FLAC)
        assert (raised.value, sent.closed) == (failure, True)
    assert [(entry.key, entry.size) async for entry in blobs.list("")] == before


@pytest.mark.parametrize("megabytes", [0, 17])
async def test_who_is_cancelled_while_pieces_come_stores_nothing(blobs: Blobs, megabytes: int) -> None:
    await blobs.put(_AUDIO, b"old", _FLAC)
    waits = asyncio.Event()

    async def wait() -> None:
        waits.set()
        await asyncio.sleep(20)

    sent = Pieces([bytes(1024**2)] * megabytes, before_end=wait)
    writing = asyncio.create_task(blobs.put_pieces(_AUDIO, sent, _FLAC))
    await asyncio.wait_for(waits.wait(), 20)
    # Nobody is kept from writing it meanwhile.
    await blobs.put(_AUDIO, b"newer", _FLAC)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert (sent.closed, await _read(blobs, _AUDIO)) == (True, b"newer")


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\\b", "a b", "ä", "a\0", "~work/a", "a\n", "a/" * 256 + "b", "s" * 256],
)  # fmt: skip
async def test_what_is_no_key_is_refused_everywhere(blobs: Blobs, key: str) -> None:
    async def opens() -> None:
        async with blobs.open(key):
            pass

    pieces = Pieces([b"1"])
    calls = (
        lambda: blobs.put(key, b"", _PNG),
        lambda: blobs.put_pieces(key, pieces, _PNG),
        lambda: blobs.create(key, b"", _PNG),
        lambda: blobs.replace(key, b"", _PNG, "0"),
        lambda: blobs.get(key, 1),
        lambda: blobs.delete(["a", key]),
        lambda: blobs.link(key, 60),
        opens,
    )
    for call in calls:
        with pytest.raises(ValueError):
            await call()
    assert pieces.closed
    if key:
        with pytest.raises(ValueError):
            await _keys(blobs, key.removesuffix("/"))


async def test_what_is_no_content_type_is_refused(blobs: Blobs) -> None:
    for content_type in ("", "image/png\r\nX-Evil: 1", "ä", "a" * 257):
        with pytest.raises(ValueError):
            await blobs.put(_KEY, b"", content_type)


async def test_a_link_has_a_week_at_most(blobs: Blobs) -> None:
    for seconds in (0, 7 * 86400 + 1):
        with pytest.raises(ValueError):
            await blobs.link(_KEY, seconds)
    await blobs.link(_KEY, 7 * 86400)


async def test_a_store_that_works_says_so(blobs: Blobs) -> None:
    await blobs.ping()
    assert await _keys(blobs, "") == []
