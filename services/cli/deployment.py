"""How a command on the server works on the deployment itself: its database, beside a running suite or without one, and its secret."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from services.bootstrap.secret import deployment_secret
from services.infra.postgres import migrations
from services.infra.postgres.database import Database
from services.infra.postgres.embedded import EmbeddedPostgres
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.settings import Settings


@contextlib.asynccontextmanager
async def deployment(
    settings: Settings, schemas: Sequence[str]
) -> AsyncIterator[tuple[Database, DeploymentSecret]]:
    """The deployment's open database, which has these schemas up to date, and its secret, while the block runs.

    The embedded PostgreSQL is shared with a suite that runs, and else started for the time of the block. Raises StartupError.
    """
    embedded = settings.database.url is None
    if embedded and not (settings.data_dir / "postgres").is_dir():
        raise StartupError(
            f"There is no deployment in {settings.data_dir}.",
            "Name its folder with --data-dir, or its database with DATABASE_URL.",
        )
    secret = deployment_secret(settings, embedded=embedded)
    async with contextlib.AsyncExitStack() as stack:
        if embedded:
            url = await stack.enter_async_context(EmbeddedPostgres(settings.data_dir).reach())
            database = Database(url, min_size=1, max_size=2)
        else:
            assert settings.database.url is not None
            database = Database(
                settings.database.url, direct_url=settings.database.direct_url, min_size=1, max_size=2
            )
        stack.push_async_callback(database.close)
        # First, because it does not wait for a database that is away: somebody sits before this.
        await migrations.ensure_current(database.direct_url, schemas)
        await database.open(settings.database.start_timeout)
        yield database, secret
