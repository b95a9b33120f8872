"""Puts the object store together that the settings choose."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.capabilities.blobs.check import BlobsCheck
from services.capabilities.blobs.errors import StoreRefuses, StoreUnavailable
from services.capabilities.blobs.stores.folder import FolderBlobs
from services.capabilities.blobs.watched import WatchedBlobs
from services.kernel.outages import Outage
from services.kernel.startup import StartupError
from services.settings import BlobSettings

if TYPE_CHECKING:
    from services.capabilities.blobs.stores.s3 import S3Blobs
    from services.capabilities.blobs.stores.s3_account import S3Account

__all__ = ["BlobsCheck", "bucket_exists", "build", "described", "folder_of"]

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 15.0
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]+")


def described(settings: BlobSettings, data_dir: Path) -> str:
    """Where the objects are, for people; nothing of it is secret."""
    if not settings.is_s3:
        return f"the folder {folder_of(settings, data_dir)}"
    address = urlsplit(_endpoint_of(settings))
    # One that the start refuses may have a password before its host.
    host = address.netloc.rpartition("@")[2]
    return f"s3://{settings.s3_bucket} at {address.scheme}://{host}{address.path}"


@asynccontextmanager
async def build(
    settings: BlobSettings, data_dir: Path, *, patience: float = _PATIENCE_SECONDS
) -> AsyncIterator[WatchedBlobs]:
    """The object store while the block runs; its folder or bucket is made where it is not there.

    A server that can't be reached is tried again for `patience` seconds. Raises StartupError.
    """
    if settings.is_s3:
        yield WatchedBlobs(await _bucket(settings, described(settings, data_dir), patience))
        return
    folder = await _folder(folder_of(settings, data_dir), settings.timeout)
    try:
        yield WatchedBlobs(folder)
    finally:
        await asyncio.to_thread(folder.close)


async def bucket_exists(settings: BlobSettings) -> bool:
    """Whether the bucket of the settings is there. Raises StartupError for settings that can't be, and Unavailable."""
    from services.capabilities.blobs.stores.s3 import S3Blobs

    return await S3Blobs(account_of(settings)).exists()


def folder_of(settings: BlobSettings, data_dir: Path) -> Path:
    """The folder of the objects, where they are in one."""
    return (settings.folder or data_dir / "blobs").absolute()


async def _folder(path: Path, timeout: float) -> FolderBlobs:
    def opened() -> FolderBlobs:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FolderBlobs(path, timeout)

    try:
        folder = await asyncio.to_thread(opened)
        try:
            await folder.ping()
        except BaseException:
            await asyncio.to_thread(folder.close)
            raise
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise StartupError(
            f"The folder of the objects {path} can't be used: {why}.",
            "Make it a folder that the user who runs the suite can write, or choose another one with ANTIPHON_BLOBS__FOLDER.",
        ) from error
    except StoreUnavailable as error:
        raise StartupError(
            f"The folder of the objects {path} can't be used. {error.message}", error.advice
        ) from error
    return folder


async def _bucket(settings: BlobSettings, where: str, patience: float) -> S3Blobs:
    account = account_of(settings)
    # Who keeps objects in a folder need not wait for the client of S3.
    from services.capabilities.blobs.stores.s3 import S3Blobs
    from services.capabilities.blobs.stores.s3_bucket import make_bucket, try_conditions

    blobs = S3Blobs(account)
    outage = Outage(
        lambda why: _log.warning("waiting for the object store", extra={"where": where, "why": why}),
        lambda: _log.warning("the object store answers", extra={"where": where}),
    )
    deadline = time.monotonic() + patience
    while True:
        try:
            if not await blobs.exists():
                await make_bucket(account)
                _log.info("the bucket of the objects was made", extra={"where": where})
            await try_conditions(blobs)
            outage.over()
            return blobs
        except StoreRefuses as error:
            raise StartupError(f"{error.message} It is {where}.", error.advice) from error
        except StoreUnavailable as error:
            pause = outage.pause(error.message)
            if time.monotonic() + pause > deadline:
                raise StartupError(f"{error.message} It is {where}.", error.advice) from error
            await asyncio.sleep(pause)


def account_of(settings: BlobSettings) -> S3Account:
    # Raises StartupError.
    from services.capabilities.blobs.stores.s3_account import S3Account

    if settings.folder is not None:
        raise StartupError(
            "The object store can't be both a folder and S3.",
            "Drop ANTIPHON_BLOBS__FOLDER to use S3, or S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY to use the folder.",
        )
    access_key, secret_key = settings.s3_access_key, settings.s3_secret_key
    if access_key is None or secret_key is None:
        raise StartupError(
            "The object store is S3, and its access key or its secret key is missing.",
            "Set S3_ACCESS_KEY and S3_SECRET_KEY, or neither and no S3_ENDPOINT to keep objects in a folder.",
        )
    if not _BUCKET.fullmatch(settings.s3_bucket):
        raise StartupError(
            "S3_BUCKET is no name that a bucket can have.",
            "It has 3 to 63 characters: small letters, digits, `.` and `-`.",
        )
    if not _REGION.fullmatch(settings.s3_region):
        raise StartupError(
            "ANTIPHON_BLOBS__S3_REGION is no name of a region.", "Such a name is us-east-1, for example."
        )
    endpoint = _endpoint_of(settings)
    public = settings.s3_public_endpoint or endpoint
    _check_address("S3_ENDPOINT", endpoint)
    _check_address("ANTIPHON_BLOBS__S3_PUBLIC_ENDPOINT", public)
    return S3Account(
        endpoint=endpoint,
        public_endpoint=public,
        region=settings.s3_region,
        bucket=settings.s3_bucket,
        path_style=settings.s3_path_style,
        access_key=access_key,
        secret_key=secret_key,
        timeout=settings.timeout,
    )


def _endpoint_of(settings: BlobSettings) -> str:
    return settings.s3_endpoint or f"https://s3.{settings.s3_region}.amazonaws.com"


def _check_address(name: str, address: str) -> None:
    try:
        parts = urlsplit(address)
        suitable = not (parts.query or parts.fragment or "@" in parts.netloc) and parts.port != 0
    except ValueError:
        suitable = False
    if not suitable:
        # The address is not repeated: what is too much in it may be a password.
        raise StartupError(
            f"{name} is no address of an S3 server.",
            "It is http:// or https://, a host, and a port where it is not the usual one; keys stand in S3_ACCESS_KEY and S3_SECRET_KEY.",
        )
