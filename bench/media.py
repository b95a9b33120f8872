"""A suite with one service that keeps objects, and people who are logged in there: what IMAGES and SPEECH are played on."""

from __future__ import annotations

import re
import secrets
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from bench.machine import Cores
from bench.processes import BenchmarkFailed, Process, module, running
from bench.stage import work_folder
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade

_METRICS = r"metrics  http://([^/\s]+)/metrics"

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MediaSuite:
    """Auth and the service at work, people who are logged in there, and the page of metrics."""

    address: str
    metrics: str
    process: Process
    people: Sequence[Metadata]

    def lag(self) -> float:
        """The longest that the event loop was late since this was asked before, in seconds. Raises BenchmarkFailed."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        found = re.search(r"^antiphon_event_loop_lag_seconds (\S+)$", page, re.MULTILINE)
        if found is None:
            raise BenchmarkFailed("the page of metrics has no lag of the event loop")
        return float(found[1])


@asynccontextmanager
async def media_suite(cores: Cores, service: str, people: int) -> AsyncIterator[MediaSuite]:
    """The database and the objects are on the disk of the checkout, as durable as an operator's."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(work_folder()))
        postgres = EmbeddedPostgres(folder / "data")
        stack.push_async_callback(postgres.stop)
        url = await postgres.start()
        await upgrade(url, ("auth", service))
        environment = {
            "DATABASE_URL": url,
            "ANTIPHON_SECRET_KEY": secrets.token_urlsafe(48),
            "ANTIPHON_DATA_DIR": str(folder / "suite"),
            "ANTIPHON_SERVER__PORT": "0",
            "ANTIPHON_METRICS__ADDRESS": "127.0.0.1:0",
            "ANTIPHON_AUTH__ACCESS_TOKEN_TTL": "1d",
            # Counted like anybody's calls, and never refused.
            "ANTIPHON_LIMITS__DEFAULT": "1000000000",
            f"ANTIPHON_LIMITS__{service.upper()}": "1000000000",
            "ANTIPHON_LIMITS__REGISTER": "1000000000",
            "ANTIPHON_LIMITS__LOGIN": "1000000000",
        }
        command = module("services.cli", "serve", "auth", service)
        process = await stack.enter_async_context(
            running("suite", command, folder, (*cores.server, *cores.others), environment)
        )
        address = await process.said(r"address  (\S+)")
        yield MediaSuite(address, await process.said(_METRICS), process, await _people(address, people))


async def _people(address: str, count: int) -> list[Metadata]:
    people: list[Metadata] = []
    async with grpc.aio.insecure_channel(address) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        for number in range(count):
            email, password = f"person{number}@example.com", secrets.token_urlsafe(16)
            await auth.Register(auth_pb2.RegisterRequest(email=email, password=password), timeout=10)
            answer = await auth.Login(auth_pb2.LoginRequest(email=email, password=password), timeout=10)
            people.append((("authorization", f"Bearer {answer.access_token}"),))
    return people
