"""Puts the replicas and their stores together, plays the rounds, and tells what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from services.capabilities.blobs import wiring as object_store
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade
from services.kernel.secret import DeploymentSecret
from services.settings import BlobSettings
from tools.survival.images.bucket import environment as environment_of
from tools.survival.images.bucket import minio
from tools.survival.images.index import Index
from tools.survival.images.rounds import Figures, Stage, survive
from tools.survival.people import ADMINISTRATOR, log_in, people
from tools.survival.replicas import Replica, plain_settings
from tools.survival.usage import SqlUsageLedger

SERVICES = ("auth", "image", "analytics")
_PEOPLE = 10


async def play(
    rounds: int, callers: int, lease_seconds: float, seed: int, folder: Path, *, s3: bool
) -> Figures:
    """Two replicas on one PostgreSQL and one folder of objects, or with `s3` one bucket. Raises ReplicaFailed and PeerMissing."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(EmbeddedPostgres(folder / "database").running())
        await upgrade(url, SERVICES)
        objects = stack.enter_context(minio(folder)) if s3 else BlobSettings()
        environment = {
            **plain_settings(folder),
            **environment_of(objects),
            "ANTIPHON_IMAGE__LEASE_TTL": f"{lease_seconds:g}",
            "ANTIPHON_AUTH__ACCESS_TOKEN_TTL": "1d",
        }
        first, second = (
            Replica(name, folder, {**environment, "DATABASE_URL": _named(url, name)}, SERVICES)
            for name in ("first", "second")
        )
        for replica in (first, second):
            stack.push_async_callback(asyncio.to_thread, replica.stop)
            replica.start()
            await replica.up()
        blobs = await stack.enter_async_context(object_store.build(objects, folder / "data"))
        stage = Stage(
            (first, second),
            Index(url),
            blobs,
            SqlUsageLedger(url),
            DeploymentSecret(environment["ANTIPHON_SECRET_KEY"].encode()),
            await log_in(second.address, ADMINISTRATOR, first.password),
            await people(second.address, _PEOPLE),
        )
        return await survive(stage, rounds, callers, seed)


def told(figures: Figures, seed: int, *, s3: bool) -> Mapping[str, object]:
    """What is printed of them."""
    callers, meter, states = figures.callers, figures.meter, figures.states
    return {
        "rounds": f"{figures.rounds}, killed with -9, objects in {'MinIO' if s3 else 'a folder'}, seed {seed}",
        "calls": len(callers),
        "answered": sum(bool(caller.images) for caller in callers),
        "asked again until answered": sum(
            caller.wish.comes_back and caller.attempts > 1 for caller in callers
        ),
        "called off / lost with their server": f"{sum(caller.left for caller in callers)} / {sum(caller.lost for caller in callers)}",
        "images told / deleted": f"{figures.told} / {figures.deleted}",
        "generations": ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
        "images metered = indexed + deleted": f"{figures.metered_images} = {figures.rows} + {figures.deleted}",
        "images indexed = trees of objects": f"{figures.rows} = {figures.trees}",
        "of people = lines of histories": f"{figures.rows_of_people} = {figures.lines}",
        "calls in Image's books = events": f"{meter.books} = {meter.events - meter.refused}",
        "events = figures": f"{meter.events} = {' = '.join(map(str, meter.figures))}",
        "usage events rejected": meter.rejected,
        "Reconcile: books = events = figures": meter.reconciled,
        "until nothing was left to be done": f"{figures.settled_seconds:.1f} s",
        "seconds": f"{figures.seconds:.0f}",
    }


def _named(url: str, name: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}application_name={name}"
