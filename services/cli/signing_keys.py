"""The keys that access tokens are signed with, on the server: list them, rotate them."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.auth.commands import rotate_signing_keys, signing_keys
from services.cli.connection import AsJson
from services.cli.deployment import deployment
from services.cli.output import CommandFailed, note, print_json, print_table, reporting
from services.kernel.errors import Unavailable
from services.settings import Settings

if TYPE_CHECKING:
    from services.auth.model.signing_keys import KeyRecord, Rotation
    from services.infra.postgres.database import Database
    from services.kernel.secret import DeploymentSecret

DataDir = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the embedded database is.", show_default=False)
]


def list_signing_keys(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the keys: the next one, the active one that signs, and retired ones whose tokens may still live.

    It looks into the database itself, that of DATABASE_URL, else the embedded one, whether or not the suite runs.

    \b
    Example:
      antiphon signing-keys list
    """
    with reporting(as_json):
        found = asyncio.run(_list(_settings(data_dir)))
        if as_json:
            print_json({"signingKeys": [_as_json(key) for key in found]})
            return
        rows = [
            (
                key.kid,
                key.state.value,
                f"{key.publish_time.astimezone():%Y-%m-%d %H:%M:%S}",
                f"{key.since.astimezone():%Y-%m-%d %H:%M:%S}",
            )
            for key in found
        ]
        print_table(("KEY", "STATE", "PUBLISHED", "SINCE"), rows, "no keys yet; the first start makes them")


def rotate(
    leaked: Annotated[
        bool,
        typer.Option(
            "--leaked", help="Drop the keys that have signed so far, at once, with all tokens of theirs."
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Have the next key sign, and publish another next one. The key that has signed stays published while its tokens live.

    Nobody notices: a key signs only when every process knows it, and the command waits until that is so. With --leaked nothing is
    waited for, and everybody has to refresh or to log in again.

    \b
    Example:
      antiphon signing-keys rotate
    """
    with reporting(as_json):
        settings = _settings(data_dir)
        done = asyncio.run(_rotate(settings, leaked))
        if as_json:
            print_json(
                {
                    "active": done.active,
                    "next": done.following,
                    "retired": done.retired,
                    "dropped": list(done.dropped),
                }
            )
            return
        print(f"{done.active} signs now")
        if done.following:
            print(f"{done.following} is published, and signs after the next rotation")
        if done.retired:
            print(f"{done.retired} is retired; its tokens stay good until they expire")
        for kid in done.dropped:
            print(f"{kid} is dropped; its tokens are refused within seconds")


def _settings(data_dir: Path | None) -> Settings:
    return Settings.load(overrides={} if data_dir is None else {"ANTIPHON_DATA_DIR": str(data_dir)})


async def _list(settings: Settings) -> Sequence[KeyRecord]:
    async with _database(settings) as (database, _):
        return await signing_keys(database, settings.auth)


async def _rotate(settings: Settings, leaked: bool) -> Rotation:
    async with _database(settings) as (database, secret):
        return await rotate_signing_keys(database, secret, settings.auth, leaked=leaked, waits=_tell)


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[tuple[Database, DeploymentSecret]]:
    try:
        async with deployment(settings, ["auth"]) as opened:
            yield opened
    except Unavailable as error:
        raise CommandFailed(
            error.message, "Start the database, or try again.", reason="UNAVAILABLE"
        ) from error


def _tell(seconds: float) -> None:
    note(f"waiting {math.ceil(seconds)} s until every process knows the next key")


def _as_json(key: KeyRecord) -> dict[str, str]:
    from google.protobuf.timestamp_pb2 import Timestamp

    times = {
        "publishTime": key.publish_time,
        "activateTime": key.activate_time,
        "retireTime": key.retire_time,
    }
    told = {"kid": key.kid, "state": key.state.value}
    for name, moment in times.items():
        if moment is not None:
            # As proto JSON writes times, like every other command.
            stamp = Timestamp()
            stamp.FromDatetime(moment)
            told[name] = stamp.ToJsonString()
    return told
