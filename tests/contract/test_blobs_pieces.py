"""Objects that come in pieces: how they are cut, and what a folder does with those that never end."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capabilities.blobs.errors import StoreAway, StoreFull
from services.capabilities.blobs.pieces import in_blocks
from services.capabilities.blobs.stores.folder import FolderBlobs
from services.capabilities.blobs.stores.threads import Threads
from tests.fakes.blobs_pieces import Pieces
from tests.peers.programs import eventually

_KEY = "requests/2026/11/30/0193/audio/original.flac"
_FLAC = "audio/flac"
_LARGE = [bytes(1000)] * 5


@pytest.fixture
async def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the objects, where anything above 1,000 bytes is large."""
    monkeypatch.setattr("services.capabilities.blobs.stores.folder._WRITTEN_AT_ONCE", 1000)
    return tmp_path


@pytest.fixture
async def blobs(root: Path) -> AsyncIterator[FolderBlobs]:
    opened = FolderBlobs(root, 20.0)
    yield opened
    opened.close()


def _drafts(root: Path) -> list[str]:
    return [path.name for path in (root / "~work").iterdir() if path.name != "locks"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=20)), st.integers(1, 12))
def test_blocks_are_the_same_bytes_and_all_but_the_last_are_full(pieces: list[bytes], size: int) -> None:
    async def cut() -> list[bytes]:
        async with in_blocks(Pieces(pieces), size) as blocks:
            return [block async for block in blocks]

    blocks = asyncio.run(cut())
    assert b"".join(blocks) == b"".join(pieces)
    assert {len(block) for block in blocks[:-1]} <= {size}
    assert all(0 < len(block) <= size for block in blocks)


@pytest.mark.parametrize("content_type", [_FLAC, "audio/x-other"])
@pytest.mark.parametrize("mark", [b"", b"\0antiphon object\nimage/png\n"])
async def test_the_type_of_a_file_in_blocks_is_kept(
    blobs: FolderBlobs, content_type: str, mark: bytes
) -> None:
    await blobs.put_pieces(_KEY, Pieces([mark, *_LARGE]), content_type)
    found = await blobs.get(_KEY, 10_000)
    assert found is not None
    assert (found.data, found.content_type) == (mark + bytes(5000), content_type)


async def test_nothing_is_held_while_a_piece_is_awaited_and_nothing_left_when_none_comes(
    blobs: FolderBlobs, root: Path
) -> None:
    held = len(os.listdir("/proc/self/fd"))
    waits = asyncio.Event()

    async def wait() -> None:
        waits.set()
        await asyncio.sleep(20)

    writing = asyncio.create_task(blobs.put_pieces(_KEY, Pieces(_LARGE, before_end=wait), _FLAC))
    await asyncio.wait_for(waits.wait(), 20)
    assert len(_drafts(root)) == 1
    assert len(os.listdir("/proc/self/fd")) <= held
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await asyncio.to_thread(eventually, lambda: not _drafts(root), "the end of the draft", 20.0)
    assert not (root / _KEY).exists()


@pytest.mark.parametrize("piece", [1, 2, 4])
async def test_a_disk_that_is_full_at_a_piece_keeps_nothing_of_it(
    blobs: FolderBlobs, root: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    synced = 0

    def full(_: int) -> None:
        nonlocal synced
        synced += 1
        if synced == piece:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    sent = Pieces(_LARGE)
    with pytest.raises(StoreFull):
        await blobs.put_pieces(_KEY, sent, _FLAC)
    assert sent.closed
    await asyncio.to_thread(eventually, lambda: not _drafts(root), "the end of the draft", 20.0)
    assert not (root / _KEY).exists()


@pytest.mark.parametrize("piece", [1, 3])
async def test_a_disk_that_stands_still_at_a_piece_is_not_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    goes_on, synced = threading.Event(), 0

    def stand(_: int) -> None:
        nonlocal synced
        synced += 1
        if synced == piece:
            goes_on.wait(20)

    monkeypatch.setattr("os.fsync", stand)
    blobs = FolderBlobs(root, 0.2)
    try:
        with pytest.raises(StoreAway, match="in time"):
            await blobs.put_pieces(_KEY, Pieces(_LARGE), _FLAC)
    finally:
        goes_on.set()
        blobs.close()
    assert (_drafts(root), (root / _KEY).exists()) == ([], False)


@pytest.mark.parametrize("step", ["os.fsync", "services.capabilities.blobs.stores.tree._stamp"])
async def test_pieces_that_were_given_up_do_not_come_behind_their_removal(
    blobs: FolderBlobs, root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    goes_on, begun = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        begun.set()
        goes_on.wait(20)

    async def last() -> None:
        monkeypatch.setattr(step, wait)

    slow = FolderBlobs(root, 20.0)
    writing = asyncio.create_task(slow.put_pieces(_KEY, Pieces(_LARGE, before_end=last), _FLAC))
    assert await asyncio.to_thread(begun.wait, 20)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    removal = asyncio.create_task(blobs.delete([_KEY]))
    if step == "os.fsync":
        await removal
    goes_on.set()
    await removal
    slow.close()
    assert [entry.key async for entry in blobs.list("")] == []
    assert _drafts(root) == []


async def test_what_is_left_behind_is_done_at_the_latest_by_the_end() -> None:
    goes_on, begun, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        goes_on.wait(20)

    threads = Threads(workers=1, queue=0, timeout=20.0)
    threads.behind(work)
    assert await asyncio.to_thread(begun.wait, 20)
    threads.behind(done.set)
    threading.Timer(0.05, goes_on.set).start()
    threads.close()
    assert done.is_set()
