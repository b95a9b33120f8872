"""Puts the replicas and their stores together, plays the rounds, and tells what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.survival.deployed import deployed
from tools.survival.images.index import Index
from tools.survival.images.rounds import Figures, survive


async def play(
    rounds: int, callers: int, lease_seconds: float, seed: int, folder: Path, *, s3: bool
) -> Figures:
    """Two replicas on one PostgreSQL and one folder of objects, or with `s3` one bucket. Raises ReplicaFailed and PeerMissing."""
    settings = {"ANTIPHON_IMAGE__LEASE_TTL": f"{lease_seconds:g}"}
    async with deployed(folder, "image", Index, settings, s3=s3) as stage:
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
