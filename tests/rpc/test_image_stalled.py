"""Readers of DownloadImage who stop reading, or go: nothing is held for them any longer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from antiphon.image.v1 import image_pb2, image_pb2_grpc

from services.image import servicer
from services.image.servicer import ImageServicer
from services.image.usecases.download import Download
from services.kernel.ids import new_id
from services.runtime.mounted import Mounted
from tests.fakes.runtime_services import bearer, details, reason, running
from tests.fakes.worker_pools import until

CHUNK = bytes(64 * 1024)
COUNT = 1000


class Large:
    """A download that fits into no buffer; `held` says how many are open."""

    def __init__(self) -> None:
        self.held = 0

    @asynccontextmanager
    async def __call__(self, image: Any, format_: Any, *, thumbnail: bool) -> AsyncIterator[Download]:
        self.held += 1
        try:
            yield Download(COUNT * len(CHUNK), "image/png", _chunks())
        finally:
            self.held -= 1


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(COUNT):
        yield CHUNK


async def _found(*_: Any) -> None:
    return None


@asynccontextmanager
async def stalled(download: Large, folder: Path) -> AsyncIterator[Any]:
    """A caller's download, of which it has read a piece and reads no more."""
    image: Any = SimpleNamespace(find=_found, download=download)
    blobs: Any = None
    tokens: Any = None
    log = os.open(folder / "log", os.O_RDWR | os.O_CREAT)
    mounted = Mounted(
        "image", {"antiphon.image.v1.ImageService": ImageServicer(image, blobs, tokens, b"", 1)}
    )
    try:
        async with running(log, mounted=[mounted]) as server:
            call: Any = image_pb2_grpc.ImageServiceStub(server.channel).DownloadImage(
                image_pb2.DownloadImageRequest(image_id=new_id()), metadata=bearer("user")
            )
            assert len((await call.read()).chunk) == len(CHUNK)
            assert download.held == 1
            yield call
    finally:
        os.close(log)


async def read_on(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


@pytest.mark.parametrize("limit", ["_PIECE_SECONDS", "_DOWNLOAD_SECONDS"])
async def test_who_stops_reading_is_sent_no_more(
    limit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(servicer, limit, 0.1)
    download = Large()
    async with stalled(download, tmp_path) as call:
        await until(lambda: not download.held)
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await read_on(call)
    assert (told.value.code(), reason(told.value)) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
    )
    assert details(told.value)["ErrorInfo"].metadata == {"stage": "download"}


async def test_who_goes_away_while_it_is_sent_holds_nothing(tmp_path: Path) -> None:
    download = Large()
    async with stalled(download, tmp_path) as call:
        call.cancel()
        await until(lambda: not download.held)
