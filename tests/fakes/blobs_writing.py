"""A process that writes objects, for tests that start several of them, or kill one.

`python -m tests.fakes.blobs_writing append KEY NAME COUNT` adds lines `NAME 0`, `NAME 1` … to an object; `… alternate KEY` puts two contents by turns for
ever, and says after each round that it did. The store is what the environment's settings choose.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from services.capabilities.blobs.ports import Blobs
from services.capabilities.blobs.wiring import build
from services.settings import Settings

LIMIT = 1024**2
CONTENTS = (b"a" * 3_000_000, b"b" * 2_000_000)


async def append(blobs: Blobs, key: str, line: str) -> None:
    """Add a line to an object, as often as it takes until nobody was quicker."""
    while True:
        found = await blobs.get(key, LIMIT)
        if found is None:
            if await blobs.create(key, line.encode(), "application/x-ndjson"):
                return
        elif await blobs.replace(key, found.data + line.encode(), found.content_type, found.version):
            return


async def main(what: str, key: str, name: str = "", count: str = "0") -> None:
    settings = Settings.load(os.environ)
    async with build(settings.blobs, Path(os.devnull)) as blobs:
        if what == "append":
            for number in range(int(count)):
                await append(blobs, key, f"{name} {number}\n")
            return
        while True:
            for data in CONTENTS:
                await blobs.put(key, data, "image/png")
            print("written", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
