"""The machine: its cores, shared out between the server and everybody else, and what a report says of it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_PACKAGES = ("grpcio", "protobuf", "uvloop", "psycopg", "aiohttp", "msgspec")


@dataclass(frozen=True, slots=True)
class Cores:
    """Numbers of cores; empty where processes can't be kept to cores, or where there is only one."""

    server: tuple[int, ...]
    others: tuple[int, ...]


def share_cores() -> Cores:
    """One core for the server, the others for client, upstream and PostgreSQL."""
    if not hasattr(os, "sched_setaffinity"):
        return Cores((), ())
    cores = sorted(os.sched_getaffinity(0))
    return Cores((cores[-1],), tuple(cores[:-1])) if len(cores) > 1 else Cores((), ())


def keep_to(cores: Sequence[int]) -> None:
    """Keep this process, and those it will start, to these cores; to any when none is named."""
    if cores:
        os.sched_setaffinity(0, cores)


def describe(cores: Cores) -> list[str]:
    """The machine and the versions, a line for each matter."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    pinned = "server on a core of its own" if cores.server else "no process kept to a core"
    return [
        f"{_processor()}, {os.cpu_count()} cores, {pinned}",
        f"{platform.system()} {platform.release()}, Python {sys.version.split()[0]}",
        versions,
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
