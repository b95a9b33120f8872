"""A worker that does what its job says: counts, echoes, sleeps, dies, chatters, breaks. Run by the path of this file."""

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from services.infra.workers.errors import JobRefused
from services.infra.workers.frames import Answer
from services.infra.workers.worker import Inbox, run


def handle(header: Mapping[str, Any], body: bytes, inbox: Inbox) -> Iterator[Answer]:
    match header["do"]:
        case "echo":
            yield Answer({"pid": os.getpid(), "said": header.get("say", "")}, body)
        case "count":
            for number in range(header["to"]):
                time.sleep(header.get("seconds", 0))
                yield Answer({"number": number}, bytes(header.get("bytes", 0)))
        case "repeat":
            while (more := inbox.next())[0] != {"enough": True}:
                for _ in range(more[0]["times"]):
                    yield Answer({"pid": os.getpid()}, more[1])
        case "sleep":
            time.sleep(header["seconds"])
            yield Answer({"pid": os.getpid()})
        case "refuse":
            raise JobRefused("whim", "not today")
        case "break":
            raise RuntimeError("a defect")
        case "take":
            yield Answer({"bytes": len(bytearray(header["bytes"]))})
        case "look":
            yield Answer(
                {
                    "nice": os.nice(0),
                    "session": os.getsid(0),
                    "pid": os.getpid(),
                    "variables": sorted(os.environ),
                    "descriptors": sorted(int(name) for name in os.listdir("/dev/fd")),
                    "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
                }
            )
        case misdeed:
            misbehave(misdeed)
            yield Answer({"said": "done"})


def misbehave(how: str) -> None:
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while how == "spin":
        pass
    print("noise " * 200_000)
    print("noise " * 200_000, file=sys.stderr)


if __name__ == "__main__":
    if "--never" in sys.argv:
        sys.exit("no worker today")
    if "--once" in sys.argv:
        with open(sys.argv[-1], "ab") as file:
            file.write(b"x")
        if os.path.getsize(sys.argv[-1]) == 1:
            sys.exit("the first start fails")
    run(handle)
