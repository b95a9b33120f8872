"""Make the index of images anew from the objects, on the server."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from services.capabilities.blobs import wiring as object_store
from services.cli.connection import AsJson
from services.cli.deployment import deployment
from services.cli.output import CommandFailed, note, print_fields, print_json, reporting
from services.cli.waiting import Waiting
from services.image import commands
from services.image.usecases.reindex import Reindexed
from services.kernel.errors import Unavailable
from services.settings import Settings

_MOST_KEYS = 10
"""How many objects that can't be read are named."""


def reindex_images(
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Take images out of the index whose objects are gone."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Prune although most images of the index are missing.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where the embedded database and the objects are.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put images into the index that are in the object store and missing there, whether or not the suite runs.

    It fails when objects can't be read, after all others were seen to. Images of the index whose objects are gone are told, and with
    --prune taken out; no object is ever removed.

    \b
    Example:
      antiphon image reindex
    """
    with reporting(as_json):
        settings = Settings.load(overrides={} if data_dir is None else {"ANTIPHON_DATA_DIR": str(data_dir)})
        store = object_store.described(settings.blobs, settings.data_dir)
        if not as_json:
            note(f"(the objects are those of {store})")
        tell(_reindex(settings, prune, yes), store, as_json=as_json)


def _reindex(settings: Settings, prune: bool, sure: bool) -> Reindexed:
    try:
        with Waiting("looking through the objects") as waiting:
            return asyncio.run(_reindexed(settings, prune, sure, waiting))
    except Unavailable as error:
        raise CommandFailed(
            error.message, "Start the database or the object store, or try again.", reason="UNAVAILABLE"
        ) from error


async def _reindexed(settings: Settings, prune: bool, sure: bool, waiting: Waiting) -> Reindexed:
    async with (
        deployment(settings, ("image",)) as (database, _),
        object_store.build(settings.blobs, settings.data_dir) as blobs,
    ):
        return await commands.reindex_images(
            database,
            blobs,
            prune=prune,
            sure=sure,
            on_progress=lambda seen: waiting.say(f"{seen:,} images were seen"),
        )


def tell(done: Reindexed, store: str, *, as_json: bool) -> None:
    """Prints what was done; `store` is where the objects are. Raises CommandFailed when objects could not be read, or nothing was pruned
    that was to be."""
    if as_json:
        print_json({"store": store} | dataclasses.asdict(done))
    else:
        told = (
            ("indexed", done.indexed),
            ("seen", done.seen),
            ("added", done.added),
            ("missing", done.missing),
            ("removed", done.removed),
            ("unreadable", len(done.unreadable)),
        )
        print_fields([(name, str(number)) for name, number in told])
        if done.missing > done.removed and not done.refused:
            note(_what_is_missing(done, store))
    if done.refused:
        raise CommandFailed(
            f"nothing was pruned: {done.missing:,} of {done.indexed:,} images of the index are not in {store}",
            "The settings may name another store than theirs: see S3_… and ANTIPHON_BLOBS__…. If the objects are gone indeed, add --yes.",
            reason="PRUNE_REFUSED",
        )
    if done.unreadable:
        named = [f"{each.key}: {each.why}" for each in done.unreadable[:_MOST_KEYS]]
        if len(done.unreadable) > _MOST_KEYS:
            named.append(f"and {len(done.unreadable) - _MOST_KEYS:,} more; --json has them all")
        named.append(
            "Bring the objects back from a backup, or remove the folders of these records, and reindex again."
        )
        objects = "object" if len(done.unreadable) == 1 else "objects"
        raise CommandFailed(
            f"{len(done.unreadable):,} {objects} can't be read", "\n".join(named), reason="OBJECTS_UNREADABLE"
        )


def _what_is_missing(done: Reindexed, store: str) -> str:
    if not done.seen:
        return (
            f"(the index has images, and {store} has none: the settings may name another store than theirs)"
        )
    return "(the index has images whose objects are gone; --prune takes them out)"
