"""The files in which servers keep long audio while it is made: they have no names, and are to be closed when nobody makes or hears it any more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from tools.survival.replicas import Replica

_POLL_SECONDS = 0.05
# Whatever its caller has left is stored to its end.
_IDLE_SECONDS = 30.0


class Spools:
    """Those of replicas that share a folder. `most` is how many were seen open at once."""

    def __init__(self, replicas: Sequence[Replica], folder: Path) -> None:
        self._replicas = replicas
        self._folder = folder.resolve()
        self.most = 0

    def count(self) -> int:
        """How many are open in living replicas, or have a name."""
        named = sum(1 for _ in self._folder.iterdir()) if self._folder.is_dir() else 0
        return named + sum(self._open(replica.pid) for replica in self._replicas)

    async def watch(self) -> None:
        """Look at them until cancelled."""
        while True:
            self.most = max(self.most, self.count())
            await asyncio.sleep(_POLL_SECONDS)

    async def left(self) -> int:
        """How many stay open although nobody calls."""
        end = time.monotonic() + _IDLE_SECONDS
        while True:
            count = self.count()
            if not count or time.monotonic() > end:
                return count
            await asyncio.sleep(_POLL_SECONDS)

    def _open(self, pid: int) -> int:
        count = 0
        # The process, or one of its files, may be gone meanwhile.
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    count += Path(os.readlink(f"/proc/{pid}/fd/{name}")).is_relative_to(self._folder)
        return count
