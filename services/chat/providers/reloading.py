"""Has a catalog follow its file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.chat.providers.catalog import FileCatalog
from services.kernel.startup import StartupError

log = structlog.get_logger(__name__)


class CatalogReload:
    """Reads a catalog's file again, and puts what it says in force.

    `read` blocks and raises StartupError; it is called in a thread.
    """

    def __init__(self, catalog: FileCatalog, read: Callable[[], FileCatalog]) -> None:
        self._catalog = catalog
        self._read = read
        self._turn = asyncio.Lock()

    async def __call__(self) -> None:
        """Put the file in force as it is now. One that is wrong changes nothing: the log says what is wrong with it, and the catalog stays
        what it was."""
        async with self._turn:
            try:
                found = await asyncio.to_thread(self._read)
            except StartupError as error:
                log.error(
                    "the catalog of models was not reloaded, and stays as it was",
                    problems=error.message.splitlines(),
                )
                return
            changes = self._catalog.replace(found)
            log.info(
                "the catalog of models was reloaded",
                added=list(changes.added),
                removed=list(changes.removed),
                changed=list(changes.changed),
                default=self._catalog.default.name,
            )
