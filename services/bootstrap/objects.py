"""What the doctor says of the object store."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from services.bootstrap.findings import Finding, Verdict
from services.capabilities.blobs import wiring
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError
from services.settings import Settings

_OBJECTS = "objects"
_SECONDS = 5.0


async def objects_found(settings: Settings) -> Finding:
    """Whether the object store is there and can be used; nothing is made."""
    where = wiring.described(settings.blobs, settings.data_dir)
    if not settings.blobs.is_s3:
        return await asyncio.to_thread(_folder, wiring.folder_of(settings.blobs, settings.data_dir))
    try:
        async with asyncio.timeout(_SECONDS):
            there = await wiring.bucket_exists(settings.blobs)
    except StartupError as error:
        return Finding(_OBJECTS, Verdict.BAD, error.message, error.advice)
    except TimeoutError:
        return Finding(_OBJECTS, Verdict.BAD, f"{where} does not answer", "Start it, or correct S3_ENDPOINT.")
    except Unavailable as error:
        advice: str = getattr(error, "advice", "")
        return Finding(_OBJECTS, Verdict.BAD, f"{where}: {error.message}", advice)
    return Finding(_OBJECTS, Verdict.GOOD, where if there else f"{where}; the first start makes the bucket")


def _folder(path: Path) -> Finding:
    if path.exists():
        if path.is_dir() and os.access(path, os.R_OK | os.W_OK | os.X_OK):
            return Finding(_OBJECTS, Verdict.GOOD, f"the folder {path}")
        wrong = f"{path} is not a folder that this user can write to"
    else:
        above = next(parent for parent in path.parents if parent.exists())
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return Finding(_OBJECTS, Verdict.GOOD, f"the folder {path}; the first start makes it")
        wrong = f"{path} can't be made: {above} is not writable"
    return Finding(
        _OBJECTS, Verdict.BAD, wrong, "Choose another one with ANTIPHON_BLOBS__FOLDER, or set S3_ENDPOINT."
    )
