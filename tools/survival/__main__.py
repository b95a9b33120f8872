"""`python -m tools.survival`: 20 clients stream, have images made or texts spoken, while their server is killed with -9 (or paused past its lease), again and again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade
from services.kernel.secret import DeploymentSecret
from tools import peers
from tools.survival.clients import End
from tools.survival.images import play as images
from tools.survival.ledger import Ledger, MongoLedger, SqlLedger, database_of_its_own
from tools.survival.people import ADMINISTRATOR, log_in, people
from tools.survival.replicas import ROOT, SERVICES, Replica, ReplicaFailed, settings
from tools.survival.rounds import survive
from tools.survival.speech import play as speech
from tools.survival.stage import Deployment, Figures
from tools.survival.upstream import counting_upstream
from tools.survival.usage import SqlUsageLedger, UsageLedger
from tools.survival.usage_mongo import MongoUsageLedger

_PEOPLE = 3
_SHOWN_FAULTS = 20
_EPILOG = """
Two replicas serve one database; the first, the second, and then both are killed at a random moment and come back, or in turn
paused, and the other one takes over. Clients come back by (generation_id, after_seq), or repeat their call with the same request_id, at
either replica. At the end Chat's books, the usage events and their figures have to say the same, to the unit.

With --images callers have images made instead, delete some, and call some off. At the end the index, the objects, the histories, the usage events and their
figures have to say the same, all that callers were told has to be there, and no request_id may have made two sets of images.

With --speech callers have texts spoken, by Synthesize, by StreamSynthesize, and by both at once; some read slowly. At the end the table, the objects, what was
heard, the usage events and their figures have to say the same, no request_id may have made two conversions, and servers may have left neither files nor processes.

Ends with 1 when anything did not hold, with 2 when it could not be tried.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.survival", description=__doc__, epilog=_EPILOG)
    parser.add_argument("--rounds", type=int, default=5, help="how often a server is taken away (default 5)")
    parser.add_argument("--clients", type=int, default=20, help="streams in each round (default 20)")
    parser.add_argument(
        "--pause", action="store_true", help="SIGSTOP past the lease and SIGCONT, instead of SIGKILL"
    )
    parser.add_argument(
        "--store",
        choices=("postgres", "mongo"),
        default="postgres",
        help="where Chat and Analytics keep what they have",
    )
    parser.add_argument(
        "--images", action="store_true", help="callers of Image, which keeps its objects in a folder"
    )
    parser.add_argument(
        "--speech", action="store_true", help="callers of Speech, which keeps its objects in a folder"
    )
    parser.add_argument(
        "--s3", action="store_true", help="with --images or --speech: objects are kept in MinIO"
    )
    parser.add_argument("--lease", type=float, default=2.0, help="seconds that a lease lasts (default 2)")
    parser.add_argument(
        "--late",
        type=float,
        default=5.0,
        help="seconds past its lease that a generation may be found running while a replica is left (default 5)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="of the random choices; printed, so that they can be made again",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the folder of the run: the logs of both replicas"
    )
    arguments = parser.parse_args()
    if arguments.images and arguments.speech:
        parser.error("--images and --speech go one at a time")
    makes = arguments.images or arguments.speech
    if makes and (arguments.pause or arguments.store != "postgres"):
        parser.error("--images and --speech go neither with --pause nor with another store than postgres")
    if arguments.s3 and not makes:
        parser.error("--s3 goes with --images or --speech")
    return arguments


async def _run(arguments: argparse.Namespace, seed: int, folder: Path) -> Figures:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(counting_upstream())
        url = await stack.enter_async_context(EmbeddedPostgres(folder / "database").running())
        await upgrade(url, SERVICES)
        store = {"DATABASE_URL": url}
        ledger: Ledger = SqlLedger(url)
        usage: UsageLedger = SqlUsageLedger(url)
        if arguments.store == "mongo":
            mongo = database_of_its_own(os.environ.get("MONGODB_URL") or stack.enter_context(_mongo_peer()))
            store |= {
                "ANTIPHON_CHAT__STORE": "mongo",
                "ANTIPHON_ANALYTICS__STORE": "mongo",
                "MONGODB_URL": mongo,
            }
            ledger, usage = MongoLedger(mongo), MongoUsageLedger(mongo)
        stack.push_async_callback(ledger.close)
        stack.push_async_callback(usage.close)
        environment = settings(folder, upstream.url, arguments.lease, store)
        first, second = (
            Replica(name, folder, {**environment, "DATABASE_URL": _named(url, name)}, SERVICES)
            for name in ("first", "second")
        )
        for replica in (first, second):
            stack.push_async_callback(asyncio.to_thread, replica.stop)
            replica.start()
            await replica.up()
        tokens = await people(second.address, _PEOPLE)
        administrator = await log_in(second.address, ADMINISTRATOR, first.password)
        secret = DeploymentSecret(environment["ANTIPHON_SECRET_KEY"].encode())
        deployment = Deployment(first, second, ledger, usage, secret, administrator, tokens, arguments.lease)
        figures = await survive(
            deployment,
            arguments.rounds,
            arguments.clients,
            pause=arguments.pause,
            late_seconds=arguments.late,
            seed=seed,
        )
        figures.faults += [f"{one.name} logged {line}" for one in (first, second) for line in one.exceptions]
        return figures


def _named(url: str, name: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}application_name={name}"


@contextlib.contextmanager
def _mongo_peer() -> Iterator[str]:
    """The server that speaks MongoDB's protocol; it ends with its standard input."""
    command = [*peers.mongo(lambda text: print(text, file=sys.stderr, flush=True)), "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"mongodb://127.0.0.1:{process.stdout.readline().strip()}/antiphon"
        finally:
            process.stdin.close()


@asynccontextmanager
async def _folder(keep: bool) -> AsyncIterator[Path]:
    (ROOT / "build").mkdir(exist_ok=True)
    if keep:
        yield Path(tempfile.mkdtemp(prefix="survival-", dir=ROOT / "build"))
        return
    with tempfile.TemporaryDirectory(
        prefix="survival-", dir=ROOT / "build", ignore_cleanup_errors=True
    ) as made:
        yield Path(made)


def _told(figures: Figures, arguments: argparse.Namespace, seed: int) -> Mapping[str, object]:
    ends, meter = figures.ends, figures.meter
    return {
        "rounds": f"{figures.rounds}, {'paused past the lease' if arguments.pause else 'killed with -9'}, {arguments.store}, seed {seed}",
        "streams": figures.streams,
        "resumed": figures.resumed,
        "completed": ends[End.COMPLETED],
        "interrupted": ends[End.INTERRUPTED],
        "cancelled": ends[End.CANCELLED],
        "without an end": ends[End.NONE],
        "begun again (nothing was made)": figures.begun_again,
        "clients whose text is not the record's": figures.mismatches,
        "generations": figures.generations,
        "usage events doubled / missing": f"{figures.doubled_events} / {figures.missing_events}",
        "calls in Chat's books = events": f"{meter.books} = {meter.events - meter.refused}",
        "events = figures": f"{meter.events} = {' = '.join(map(str, meter.figures))}",
        "refused: sent / told / metered": f"{meter.refused_sent} / {meter.refused_told} / {meter.refused_events}",
        "usage events set aside / rejected": f"{meter.set_aside} / {meter.rejected}",
        "Reconcile: books = events = figures": meter.reconciled,
        "relays that had their turn": len(meter.relays),
        **(
            {
                "taken over while paused": figures.taken_over,
                "of these written after waking": figures.woken_writes,
            }
            if arguments.pause
            else {}
        ),
        "longest running past its lease": f"{figures.longest_late:.2f} s (lease {arguments.lease:g} s)",
        **({} if arguments.pause else {"the same with both killed": f"{figures.longest_dark:.2f} s"}),
        "seconds": f"{figures.seconds:.0f}",
    }


def _print(lines: Mapping[str, object], faults: Sequence[str]) -> None:
    for name, value in lines.items():
        print(f"{name:40} {value}")
    for fault in faults[:_SHOWN_FAULTS]:
        print(f"  FAULT {fault}")
    if len(faults) > _SHOWN_FAULTS:
        print(f"  … and {len(faults) - _SHOWN_FAULTS} more")


async def _played(
    arguments: argparse.Namespace, seed: int, folder: Path
) -> tuple[Mapping[str, object], Sequence[str]]:
    """What is told of the rounds, and what did not hold in them."""
    rounds, clients, lease, s3 = arguments.rounds, arguments.clients, arguments.lease, arguments.s3
    if arguments.images:
        made = await images.play(rounds, clients, lease, seed, folder, s3=s3)
        return images.told(made, seed, s3=s3), made.faults
    if arguments.speech:
        spoken = await speech.play(rounds, clients, lease, seed, folder, s3=s3)
        return speech.told(spoken, seed, s3=s3), spoken.faults
    figures = await _run(arguments, seed, folder)
    return _told(figures, arguments, seed), figures.faults


async def _main() -> int:
    arguments = _arguments()
    seed = random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    async with _folder(arguments.keep) as folder:
        if arguments.keep:
            print(f"logs: {folder}")
        try:
            lines, faults = await _played(arguments, seed, folder)
        except (ReplicaFailed, peers.PeerMissing) as error:
            print(error, file=sys.stderr)
            return 2
    _print(lines, faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
