"""`image.ports.Codecs` by a pool of worker processes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from services.image.errors import CodecsOverloaded, ImageUnusable
from services.image.model import THUMBNAIL_PIXELS, Format, Size
from services.image.ports import Original
from services.infra.workers.errors import JobRefused, JobTimedOut, PoolBusy, WorkerDied, WorkerFailure
from services.infra.workers.frames import Answer
from services.infra.workers.pool import WorkerPool
from services.infra.workers.process import Program, module
from services.kernel.errors import Unavailable

_PROGRAM = "services.image.providers.codecs.worker"
_QUEUE_PER_WORKER = 16
# How long a job may take: some time on a busy machine, and more for very large images, which take a second for nine million pixels.
_JOB_SECONDS = 30.0
_PIXELS_PER_SECOND = 1_000_000
# What the libraries take before they see an image, and what an image takes while it is decoded, turned and encoded.
_MEMORY_BYTES = 512 * 1024**2
_BYTES_PER_PIXEL = 24
# numpy would make room for a thread per core, of which drawing needs none.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_NAMES = {Format.JPEG: "JPEG", Format.WEBP: "WEBP", Format.AVIF: "AVIF"}


class WorkerCodecs:
    """`image.ports.Codecs`, with at most `workers` processes, which start when they are wanted. `aclose` it when nobody will ask any more.

    A job whose caller is cancelled is done nevertheless: it is short, and a new process would cost more.
    """

    def __init__(self, *, workers: int, max_pixels: int, queue: int | None = None) -> None:
        """At most `queue` conversions wait; without it some for each worker."""
        program = Program(
            module(_PROGRAM),
            job_seconds=_JOB_SECONDS + max_pixels / _PIXELS_PER_SECOND,
            memory_bytes=_MEMORY_BYTES + _BYTES_PER_PIXEL * max_pixels,
            environment=_ENVIRONMENT,
        )
        most = _QUEUE_PER_WORKER * workers if queue is None else queue
        self._pool = WorkerPool(program, size=workers, queue=most)
        self._max_pixels = max_pixels

    async def adopt(self, data: bytes, facts: Mapping[str, str]) -> Original:
        """See `image.ports.Codecs`."""
        header = {
            "job": "adopt",
            "facts": dict(facts),
            "max_pixels": self._max_pixels,
            "thumbnail": THUMBNAIL_PIXELS,
        }
        try:
            answer = await self._pool.ask(header, data, let_finish=True, urgent=True)
        except JobRefused as error:
            raise ImageUnusable(error.message, error.reason) from error
        except (JobTimedOut, WorkerDied) as error:
            # Bytes that bring a decoder down, or to a stand, are no image; another attempt would do the same to the next one. Of a worker
            # that could not be started the pool tells otherwise.
            raise ImageUnusable("what the provider sent can't be decoded", "format") from error
        except WorkerFailure as error:
            raise _translated(error) from error
        told, body = answer.header, answer.body
        border = told["original_bytes"]
        return Original(body[:border], body[border:], told["width"], told["height"], told["sha256"])

    async def draw(self, prompt: str, size: Size, style: str, seed: int) -> bytes:
        """See `image.ports.Codecs`."""
        answer = await self._asked(
            {
                "job": "draw",
                "prompt": prompt,
                "width": size.width,
                "height": size.height,
                "style": style,
                "seed": seed,
            },
            urgent=True,
        )
        return answer.body

    async def convert(self, png: bytes, format_: Format) -> tuple[bytes, str]:
        """See `image.ports.Codecs`."""
        if format_ is Format.PNG:
            return png, await asyncio.to_thread(lambda: hashlib.sha256(png).hexdigest())
        answer = await self._asked({"job": "convert", "format": _NAMES[format_]}, png)
        return answer.body, answer.header["sha256"]

    async def aclose(self) -> None:
        """End the workers, whatever they do."""
        await self._pool.aclose()

    async def _asked(self, header: Mapping[str, Any], body: bytes = b"", *, urgent: bool = False) -> Answer:
        try:
            return await self._pool.ask(header, body, let_finish=True, urgent=urgent)
        except WorkerFailure as error:
            raise _translated(error) from error


def _translated(error: WorkerFailure) -> Exception:
    if isinstance(error, PoolBusy):
        return CodecsOverloaded()
    return Unavailable("images can't be worked on at the moment; try again")
