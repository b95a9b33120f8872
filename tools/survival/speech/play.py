"""Puts the replicas and their stores together, plays the rounds, and tells what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tools.survival.deployed import deployed
from tools.survival.speech.rounds import Figures, survive
from tools.survival.speech.tables import Tables


async def play(
    rounds: int, callers: int, lease_seconds: float, seed: int, folder: Path, *, s3: bool
) -> Figures:
    """Two replicas on one PostgreSQL and one folder of objects, or with `s3` one bucket. Raises ReplicaFailed and PeerMissing."""
    settings = {
        "ANTIPHON_SPEECH__LEASE_TTL": f"{lease_seconds:g}",
        # Nothing is sent to anybody from here.
        "ANTIPHON_SPEECH__GTTS": "false",
    }
    async with deployed(folder, "speech", Tables, settings, s3=s3) as stage:
        return await survive(stage, rounds, callers, seed, folder / "data")


def told(figures: Figures, seed: int, *, s3: bool) -> Mapping[str, object]:
    """What is printed of them."""
    callers, meter, states = figures.callers, figures.meter, figures.states
    heard = [hearing for caller in callers for hearing in caller.hearings]
    return {
        "rounds": f"{figures.rounds}, killed with -9, objects in {'MinIO' if s3 else 'a folder'}, seed {seed}",
        "callers": len(callers),
        "asked again until answered": sum(
            caller.wish.comes_back and caller.attempts > 1 for caller in callers
        ),
        "called off / lost with their server": f"{sum(caller.left for caller in callers)} / {sum(caller.lost for caller in callers)}",
        "streams heard to their end / in part": f"{sum(one.audio is not None for one in heard)} / {sum(one.audio is None for one in heard)}",
        "conversions told / deleted": f"{figures.told} / {figures.deleted}",
        "generations": ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
        "completed = in the table + deleted": f"{states['completed']} = {figures.rows} + {figures.deleted}",
        "in the table = trees of objects": f"{figures.rows} = {figures.trees}",
        "stored without a row at kills": figures.unrecorded,
        "characters spoken = metered": " = ".join(map(str, figures.characters)),
        "milliseconds of audio metered": figures.milliseconds,
        "spool files at most / left": f"{figures.spools} / {figures.spools_left}",
        "calls in Speech's books = events": f"{meter.books} = {meter.events - meter.refused}",
        "events = figures": f"{meter.events} = {' = '.join(map(str, meter.figures))}",
        "usage events rejected": meter.rejected,
        "Reconcile: books = events = figures": meter.reconciled,
        "until nothing was left to be done": f"{figures.settled_seconds:.1f} s",
        "seconds": f"{figures.seconds:.0f}",
    }
