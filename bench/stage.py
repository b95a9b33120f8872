"""What the benchmarks of Chat play on: PostgreSQL, a scripted upstream, suites, and somebody who is logged in."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from bench.machine import Cores
from bench.processes import ROOT, Process, module, running
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade

MODEL = "bench"
_SERVICES = ("auth", "chat", "analytics")
_CATALOG = """
[providers.bench]
base_url = "{url}"

[[models]]
name = "{model}"
provider = "bench"
"""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that serves, and its process."""

    address: str
    process: Process


@dataclass(frozen=True, slots=True)
class Stage:
    """`suite` is as operators run it; `unrecorded` delivers events that it does not store. Both take `token`, and have `environment`."""

    suite: Suite
    unrecorded: Suite
    upstream: str
    token: str
    environment: Mapping[str, str]
    postmaster: psutil.Process


@asynccontextmanager
async def stage(cores: Cores) -> AsyncIterator[Stage]:
    """The stage while the block runs. The database is on the disk of the checkout, as durable as an operator's."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(work_folder()))
        upstream = await stack.enter_async_context(
            running("upstream", module("bench.upstream"), folder, cores.others)
        )
        port = await upstream.said(r"ready (\d+)")
        url = f"http://127.0.0.1:{port}/v1"
        catalog = folder / "models.toml"
        catalog.write_text(_CATALOG.format(url=url, model=MODEL), encoding="utf-8")
        # It inherits the cores of this process.
        postgres = EmbeddedPostgres(folder / "data")
        stack.push_async_callback(postgres.stop)
        database = await postgres.start()
        assert postgres.postmaster_pid is not None
        postmaster = psutil.Process(postgres.postmaster_pid)
        await upgrade(database, _SERVICES)
        environment = {
            "DATABASE_URL": database,
            "ANTIPHON_SECRET_KEY": secrets.token_urlsafe(48),
            "ANTIPHON_DATA_DIR": str(folder / "suite"),
            "ANTIPHON_SERVER__PORT": "0",
            "ANTIPHON_METRICS__ADDRESS": "off",
            "ANTIPHON_AUTH__ACCESS_TOKEN_TTL": "1d",
            "ANTIPHON_CHAT__MODELS_FILE": str(catalog),
            # CLIENTS alone asks `echo`, which would have every client wait for its words.
            "ANTIPHON_CHAT__ECHO_INTERVAL_MS": "0",
            # Counted like anybody's calls, and never refused: the benchmarks ask more often than people do.
            "ANTIPHON_LIMITS__DEFAULT": "1000000000",
            "ANTIPHON_LIMITS__CHAT": "1000000000",
        }
        suites = []
        for name, program in (("suite", "services.cli"), ("unrecorded", "bench.unrecorded")):
            process = await stack.enter_async_context(
                running(name, module(program, "serve", *_SERVICES), folder, cores.server, environment)
            )
            suites.append(Suite(await process.said(r"address  (\S+)"), process))
        token = await _log_in(suites[0].address)
        yield Stage(suites[0], suites[1], url, token, environment, postmaster)


@asynccontextmanager
async def replica(stage: Stage, cores: Cores) -> AsyncIterator[Suite]:
    """Another suite like the stage's, on its database, while the block runs. It is not kept apart from the clients."""
    with work_folder() as folder:
        command = module("services.cli", "serve", *_SERVICES)
        async with running("replica", command, Path(folder), cores.others, stage.environment) as process:
            yield Suite(await process.said(r"address  (\S+)"), process)


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for one run."""
    (ROOT / "build").mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build")


async def _log_in(address: str) -> str:
    email, password = "bench@example.com", secrets.token_urlsafe(16)
    async with grpc.aio.insecure_channel(address) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        await auth.Register(auth_pb2.RegisterRequest(email=email, password=password), timeout=10)
        answer = await auth.Login(auth_pb2.LoginRequest(email=email, password=password), timeout=10)
    return str(answer.access_token)
