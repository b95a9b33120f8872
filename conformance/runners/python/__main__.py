"""`python -m conformance.runners.python [sync]`: lines of JSON in, lines of JSON out, until the input ends."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conformance.runners.python.faces import AsyncFace, SyncFace
from conformance.runners.python.ops import Ops
from conformance.runners.python.outcomes import Json

_LINE_BYTES = 64 * 1024 * 1024
_THREADS = 256


async def main(ops: Ops) -> None:
    """Does what the lines say, each in a task of its own."""
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader(limit=_LINE_BYTES)
    loop.set_default_executor(ThreadPoolExecutor(_THREADS))
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer)
    running = dict[int, asyncio.Task[None]]()
    while line := await lines.readline():
        asked = json.loads(line)
        if asked["op"] == "cancel":
            target = running.get(asked["target"])
            if target is not None:
                target.cancel()
            _write({"id": asked["id"], "result": {}})
            continue
        running[asked["id"]] = asyncio.create_task(_do(ops, asked))
        running = {number: task for number, task in running.items() if not task.done()}
    for task in list(running.values()):
        task.cancel()
    await ops.end()


async def _do(ops: Ops, asked: Json) -> None:
    number = asked["id"]
    try:
        result = await ops.table[asked["op"]](asked, lambda event: _write({"id": number, "event": event}))
    except asyncio.CancelledError:
        _write({"id": number, "broken": "cancelled before it began"})
    except Exception as error:
        # The runner's own fault, of whatever kind; it is told, and its place goes to standard error.
        traceback.print_exc()
        _write({"id": number, "broken": repr(error)})
    else:
        _write({"id": number, "result": result})


def _write(line: Any) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    is_sync = sys.argv[1:] == ["sync"]
    asyncio.run(main(Ops("python-sync", SyncFace) if is_sync else Ops("python", AsyncFace)))
