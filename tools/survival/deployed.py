"""Two replicas of a service that makes things, on one database and one object store, and what looks past them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from services.capabilities.blobs import wiring as object_store
from services.capabilities.blobs.ports import Blobs
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade
from services.kernel.secret import DeploymentSecret
from services.settings import BlobSettings
from tools.survival.bucket import environment as environment_of
from tools.survival.bucket import minio
from tools.survival.people import ADMINISTRATOR, log_in, people
from tools.survival.replicas import Replica, plain_settings
from tools.survival.usage import SqlUsageLedger, UsageLedger

T = TypeVar("T")

_PEOPLE = 10


@dataclass
class Stage(Generic[T]):
    """`tables` are those of the service; `tokens` are those of people."""

    replicas: tuple[Replica, Replica]
    tables: T
    blobs: Blobs
    usage: UsageLedger
    secret: DeploymentSecret
    administrator: str
    tokens: Sequence[str]


@asynccontextmanager
async def deployed(
    folder: Path, service: str, tables: Callable[[str], T], settings: Mapping[str, str], *, s3: bool
) -> AsyncIterator[Stage[T]]:
    """Both serve while the block runs, beside the service Auth and Analytics; objects are in a folder, or with `s3` in a bucket. `tables` looks
    into the database of an address. Raises ReplicaFailed and PeerMissing."""
    services = ("auth", service, "analytics")
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(EmbeddedPostgres(folder / "database").running())
        await upgrade(url, services)
        objects = stack.enter_context(minio(folder)) if s3 else BlobSettings()
        environment = {
            **plain_settings(folder),
            **environment_of(objects),
            **settings,
            "ANTIPHON_AUTH__ACCESS_TOKEN_TTL": "1d",
        }
        first, second = (
            Replica(name, folder, {**environment, "DATABASE_URL": _named(url, name)}, services)
            for name in ("first", "second")
        )
        for replica in (first, second):
            stack.push_async_callback(asyncio.to_thread, replica.stop)
            replica.start()
            await replica.up()
        yield Stage(
            (first, second),
            tables(url),
            await stack.enter_async_context(object_store.build(objects, folder / "data")),
            SqlUsageLedger(url),
            DeploymentSecret(environment["ANTIPHON_SECRET_KEY"].encode()),
            await log_in(second.address, ADMINISTRATOR, first.password),
            await people(second.address, _PEOPLE),
        )


def _named(url: str, name: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}application_name={name}"
