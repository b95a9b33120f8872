"""The object store in a folder: what is in it, what can't lead out of it, and what stays when a process dies."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capabilities.blobs.errors import StoreAway, StoreBusy, StoreFull, StoreRefuses
from services.capabilities.blobs.stores.envelope import HEAD_BYTES, envelope_of, read_envelope
from services.capabilities.blobs.stores.folder import FolderBlobs
from services.capabilities.blobs.stores.threads import Threads
from services.kernel.errors import Unavailable
from tests.fakes.blobs_writing import CONTENTS, append
from tests.peers.programs import Program, clean_environment, eventually

_KEY = "requests/2026/11/30/0193/image/original.png"
_PNG = "image/png"
_SEGMENTS = st.text("ab.-_0", min_size=1, max_size=3).filter(lambda text: text not in (".", ".."))
_KEYS = st.lists(_SEGMENTS, min_size=1, max_size=4).map("/".join)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the objects."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    return folder


@pytest.fixture
async def blobs(root: Path) -> AsyncIterator[FolderBlobs]:
    opened = FolderBlobs(root, 20.0)
    yield opened
    opened.close()


def _drafts(root: Path) -> list[str]:
    return [path.name for path in (root / "~work").iterdir() if path.name != "locks"]


async def _keys(blobs: FolderBlobs) -> list[str]:
    return [entry.key async for entry in blobs.list("")]


async def test_an_object_is_a_plain_file_that_only_its_owner_can_read(blobs: FolderBlobs, root: Path) -> None:
    await blobs.put(_KEY, b"pixels", _PNG)
    assert (root / _KEY).read_bytes() == b"pixels"
    assert stat.S_IMODE((root / _KEY).stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (root / _KEY).parents[:6]} == {0o700}
    assert _drafts(root) == []


async def test_no_link_leads_out_of_the_folder(blobs: FolderBlobs, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"secret")
    (root / "linked").symlink_to(outside)
    (root / "file.png").symlink_to(outside / "secret.png")
    os.mkfifo(root / "pipe.png")
    for key in ("linked/secret.png", "file.png", "pipe.png"):
        for call in (blobs.get(key, 100), blobs.put(key, b"1", _PNG), blobs.create(key, b"1", _PNG)):
            with pytest.raises(StoreRefuses, match="not followed"):
                await call
    with pytest.raises(StoreRefuses):
        await blobs.put("linked/new.png", b"1", _PNG)
    with pytest.raises(StoreRefuses):
        await blobs.delete(["linked/secret.png"])
    await blobs.delete(["file.png"])
    assert await _keys(blobs) == []
    assert [path.name for path in outside.iterdir()] == ["secret.png"]
    assert (outside / "secret.png").read_bytes() == b"secret"


async def test_a_key_below_an_object_or_above_one_is_refused(blobs: FolderBlobs) -> None:
    await blobs.put("a/b", b"1", _PNG)
    for key in ("a", "a/b/c"):
        with pytest.raises(ValueError):
            await blobs.put(key, b"2", _PNG)
    assert await _keys(blobs) == ["a/b"]


async def test_no_two_writes_give_an_object_the_same_version(
    blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_by_the_kernel = os.utime

    def kept_in_seconds(file: int, ns: tuple[int, int]) -> None:
        seconds = ns[1] // 10**9 * 10**9
        kept_by_the_kernel(file, ns=(seconds, seconds))

    # A file system as there are some; numbers of files are given out again on all.
    monkeypatch.setattr(os, "utime", kept_in_seconds)
    now, versions = time.time_ns(), set()
    for number in range(50):
        # The clock stands, and goes back half-way.
        monkeypatch.setattr(time, "time_ns", lambda back=number // 25: now - back * 10**9)
        await blobs.put(_KEY, b"01"[number % 2 :][:1], _PNG)
        found = await blobs.get(_KEY, 10)
        assert found is not None
        versions.add(found.version)
    assert len(versions) == 50


async def test_between_looking_and_writing_there_is_no_room_for_others(
    blobs: FolderBlobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*_: object) -> None:
        time.sleep(0.02)

    other = FolderBlobs(root, 20.0)
    monkeypatch.setattr("services.capabilities.blobs.stores.tree._stamp", slowly)
    stores = (blobs, other, blobs, other)
    assert sum(await asyncio.gather(*(store.create(_KEY, b"1", _PNG) for store in stores))) == 1
    read = await blobs.get(_KEY, 10)
    assert read is not None
    replaced = (store.replace(_KEY, b"22", _PNG, read.version) for store in stores)
    assert sum(await asyncio.gather(*replaced)) == 1
    other.close()


async def test_a_folder_that_is_removed_at_the_last_moment_is_made_again(
    blobs: FolderBlobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removes(*_: object) -> None:
        monkeypatch.undo()
        os.rmdir(root / "a" / "b")

    monkeypatch.setattr("services.capabilities.blobs.stores.tree._stamp", removes)
    await blobs.put("a/b/c", b"1", _PNG)
    assert await _keys(blobs) == ["a/b/c"]


async def test_two_stores_on_one_folder_lose_no_line(blobs: FolderBlobs, root: Path) -> None:
    other = FolderBlobs(root, 20.0)

    async def add(store: FolderBlobs, name: str) -> None:
        for number in range(10):
            await append(store, "history.jsonl", f"{name} {number}\n")

    await asyncio.gather(add(blobs, "a"), add(other, "b"))
    other.close()
    lines = (root / "history.jsonl").read_text().splitlines()
    assert sorted(lines) == [f"{name} {number}" for name in "ab" for number in range(10)]


async def test_empty_folders_go_though_others_write_into_them(blobs: FolderBlobs, root: Path) -> None:
    async def come_and_go(key: str) -> None:
        for _ in range(10):
            await blobs.put(key, b"1", _PNG)
            await blobs.delete([key])

    await asyncio.gather(*(come_and_go(f"a/b/{name}/d") for name in "ccde"))
    assert os.listdir(root) == ["~work"]


async def test_a_full_disk_leaves_the_old_object_and_nothing_half_written(
    blobs: FolderBlobs, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blobs.put(_KEY, b"old", _PNG)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("services.capabilities.blobs.stores.tree._write_all", full)
        for call in (blobs.put(_KEY, b"new", _PNG), blobs.ping()):
            with pytest.raises(StoreFull, match="full"):
                await call
    assert (root / _KEY).read_bytes() == b"old"
    assert _drafts(root) == []


async def test_a_disk_that_does_not_answer_is_not_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr("os.fsync", lambda _: goes_on.wait(20))
    blobs = FolderBlobs(root, 0.05)
    try:
        with pytest.raises(StoreAway, match="in time"):
            await blobs.put(_KEY, b"1", _PNG)
    finally:
        goes_on.set()
        blobs.close()


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("step", ["os.fsync", "services.capabilities.blobs.stores.tree._stamp"])
async def test_a_write_that_was_given_up_does_not_come_behind_its_removal(
    blobs: FolderBlobs, root: Path, monkeypatch: pytest.MonkeyPatch, step: str, cancelled: bool
) -> None:
    goes_on, begun = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        begun.set()
        goes_on.wait(20)

    monkeypatch.setattr(step, wait)
    slow = FolderBlobs(root, 20.0 if cancelled else 0.05)
    writing = asyncio.create_task(slow.put(_KEY, b"1", _PNG))
    assert await asyncio.to_thread(begun.wait, 20)
    if cancelled:
        writing.cancel()
    with pytest.raises((StoreAway, asyncio.CancelledError)):
        await writing
    # It is before the lock, or has looked for the last time and holds it: then the removal waits.
    removal = asyncio.create_task(blobs.delete([_KEY]))
    if step == "os.fsync":
        await removal
    goes_on.set()
    await removal
    slow.close()
    assert await _keys(blobs) == []
    assert _drafts(root) == []


async def test_no_more_calls_wait_than_may() -> None:
    goes_on = threading.Event()
    threads = Threads(workers=1, queue=1, timeout=20.0)
    waiting = [asyncio.create_task(threads.run(lambda: goes_on.wait(20))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreBusy):
        await threads.run(lambda: None)
    goes_on.set()
    assert await asyncio.gather(*waiting) == [True, True]
    threads.close()


async def test_what_nobody_waits_for_any_more_is_undone() -> None:
    goes_on, begun, undone = threading.Event(), threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return goes_on.wait(20)

    threads = Threads(workers=1, queue=0, timeout=20.0)
    waiting = asyncio.create_task(threads.run(work, lambda _: undone.set()))
    assert await asyncio.to_thread(begun.wait, 20)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not undone.is_set()
    goes_on.set()
    threads.close()
    assert undone.is_set()


async def test_what_killed_processes_left_goes_after_a_while(root: Path) -> None:
    FolderBlobs(root, 1.0).close()
    old, young = root / "~work" / "1.draft", root / "~work" / "2.draft"
    for draft in (old, young):
        draft.write_bytes(b"half")
    os.utime(old, (0, time.time() - 7200))
    FolderBlobs(root, 1.0).close()
    assert _drafts(root) == ["2.draft"]


async def test_a_folder_that_went_away_is_no_empty_store(blobs: FolderBlobs, root: Path) -> None:
    await blobs.put("a", b"1", _PNG)
    os.rename(root, root.with_name("moved"))
    with pytest.raises(Unavailable, match="moved or removed"):
        await blobs.ping()


@settings(max_examples=15, deadline=None)
@given(st.lists(_KEYS, unique=True, max_size=10))
def test_all_that_is_there_is_listed_in_order(keys: list[str]) -> None:
    kept = [key for key in keys if not any(other.startswith(f"{key}/") for other in keys)]

    async def listed(folder: Path) -> list[str]:
        for key in kept:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).touch()
        blobs = FolderBlobs(folder, 20.0)
        try:
            return await _keys(blobs)
        finally:
            blobs.close()

    with tempfile.TemporaryDirectory() as folder:
        assert asyncio.run(listed(Path(folder))) == sorted(kept)


@given(
    st.sampled_from(["a.png", "a.jsonl", "a"]),
    st.sampled_from(["image/png", "application/x-ndjson", "text/plain", "a" * 255]),
    st.binary() | st.binary().map(lambda data: envelope_of("a", b"", "image/png") + data),
)
def test_type_and_bytes_come_out_of_a_file_as_they_went_in(key: str, content_type: str, data: bytes) -> None:
    file = envelope_of(key, data, content_type) + data
    found, start = read_envelope(key, file[:HEAD_BYTES])
    assert (found, file[start:]) == (content_type, data)


def _writer(root: Path, *arguments: str) -> Program:
    command = [sys.executable, "-m", "tests.fakes.blobs_writing", *arguments]
    environment = clean_environment(ANTIPHON_BLOBS__FOLDER=str(root), PYTHONPATH=os.pathsep.join(sys.path))
    return Program(command, root.parent, environment)


def _wait_for_its_writes(writer: Program) -> None:
    writer.wait_until(lambda: "written" in writer.output, "the first object", 20.0)


@pytest.mark.long
def test_ten_processes_that_add_lines_lose_none(root: Path) -> None:
    writers = [_writer(root, "append", "users/u1/30.jsonl", str(number), "20") for number in range(10)]
    eventually(lambda: not any(writer.running for writer in writers), "the end of the writers", 50.0)
    assert [writer.stop() for writer in writers] == [0] * 10
    lines = (root / "users/u1/30.jsonl").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {number}" for name in range(10) for number in range(20))


@pytest.mark.long
async def test_a_writer_that_is_killed_leaves_the_old_object_or_the_new_one(
    blobs: FolderBlobs, root: Path
) -> None:
    for kill in range(10):
        writer = _writer(root, "alternate", _KEY)
        _wait_for_its_writes(writer)
        # The moment of the kill is what the rounds differ in.
        await asyncio.sleep(kill * 0.0013)
        writer.kill()
        found = await blobs.get(_KEY, 4_000_000)
        assert found is not None
        assert found.data in CONTENTS
        assert await _keys(blobs) == [_KEY]
        # Its lock went with it.
        await blobs.put(_KEY, CONTENTS[0], _PNG)
