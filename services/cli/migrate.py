"""Bring the database's schemas to what the code wants, or tell where they stand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.bootstrap.resources import schemas_of
from services.cli.connection import AsJson
from services.cli.output import print_json, print_table, reporting
from services.infra.postgres import migrations
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.histories import State, services_with_migrations
from services.settings import Settings

if TYPE_CHECKING:
    from services.infra.postgres.histories import SchemaStatus


def migrate(
    status: Annotated[
        bool, typer.Option("--status", help="Change nothing; fail unless all is up to date.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the embedded database is.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database's schemas up to date: that of DATABASE_URL, else the embedded one.

    `antiphon serve` does so by itself on the embedded database. Elsewhere run this before a new version is started.

    \b
    Example:
      DATABASE_URL=postgresql://antiphon:…@db/antiphon antiphon migrate
    """
    with reporting(as_json):
        overrides = {"ANTIPHON_DATA_DIR": str(data_dir)} if data_dir is not None else {}
        settings = Settings.load(overrides=overrides)
        before, after = asyncio.run(_migrate(settings, change=not status))
        _print(before, after, as_json=as_json)
        if any(found.state is not State.CURRENT for found in after):
            raise typer.Exit(1)


async def _migrate(settings: Settings, *, change: bool) -> tuple[list[SchemaStatus], list[SchemaStatus]]:
    """Where the schemas stood, and where they stand."""
    services = schemas_of(settings, services_with_migrations())
    async with _database(settings) as url:
        before = await (migrations.upgrade if change else migrations.status)(url, services)
        return before, await migrations.status(url, services)


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    external = settings.database.direct_url or settings.database.url
    if external:
        yield external
        return
    async with EmbeddedPostgres(settings.data_dir).reach() as url:
        yield url


def _print(before: list[SchemaStatus], after: list[SchemaStatus], *, as_json: bool) -> None:
    if as_json:
        schemas = [
            {
                "service": now.service,
                "before": was.revision,
                "revision": now.revision,
                "head": now.head,
                "state": now.state.value,
            }
            for was, now in zip(before, after, strict=True)
        ]
        print_json({"schemas": schemas})
        return
    rows = [
        (now.service, was.revision or "–", now.revision or "–", now.head, now.state.value)
        for was, now in zip(before, after, strict=True)
    ]
    print_table(("SERVICE", "BEFORE", "NOW", "CODE", "STATE"), rows, "no service has a schema")
