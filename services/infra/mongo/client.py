"""The one client that a process keeps for a MongoDB."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from services.infra.mongo.failures import is_outage, translated
from services.infra.mongo.urls import ADVICE, read_address
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient, IndexModel
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

_log = logging.getLogger(__name__)

Document = dict[str, Any]

_ANSWER_SECONDS = 15.0
_BORROW_SECONDS = 10.0
_PING_SECONDS = 3.0
_RETRY_SECONDS = 0.25
_REMIND_SECONDS = 5.0
_UNAUTHORIZED = (13, 18)
# Options of an address that are not followed.
_OURS = frozenset(
    (
        "w",
        "j",
        "journal",
        "fsync",
        "readpreference",
        "readpreferencetags",
        "maxstalenessseconds",
        "readconcernlevel",
    )
)


class Mongo:
    """Connections to one MongoDB, a single server, a replica set or a sharded cluster.

    What is acknowledged is in the journal of a majority, and reads ask the primary for what a majority has: whatever the address says of
    that, since the stores' promises rest on it. What it says of time-outs has the last word. `open` before use, from the event loop that will use it, and `close` at the end; or `async with`.
    """

    def __init__(self, url: str, connect_timeout: float = 5.0) -> None:
        """`connect_timeout` is in seconds. Raises StartupError for an address that can't be understood."""
        self._url = url.strip()
        self._address = read_address(url)
        self._connect_timeout = connect_timeout
        self._client: AsyncMongoClient[Document] | None = None

    def __repr__(self) -> str:
        return f"Mongo({self.address})"

    @property
    def address(self) -> str:
        """Where the database is, without the password."""
        return self._address.described

    @property
    def database(self) -> AsyncDatabase[Document]:
        """The database that the address names, `antiphon` when it names none."""
        if self._client is None:
            raise RuntimeError("the client is opened before anything is read or written")
        from pymongo import ReadPreference, WriteConcern
        from pymongo.read_concern import ReadConcern

        asked = self._client.write_concern.document
        return self._client.get_database(
            self._address.database,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", wtimeout=asked.get("wtimeout"), j=True),
            read_concern=ReadConcern("majority"),
        )

    def __getitem__(self, name: str) -> AsyncCollection[Document]:
        return self.database[name]

    async def open(self, start_timeout: float = 30.0, waiting: Callable[[str], None] | None = None) -> None:
        """Connect, once the database answers; `waiting` is told now and then what is being waited for.

        Raises StartupError when it does not answer within `start_timeout` seconds, refuses us, or can't serve the suite.
        """
        self._client = client = self._new_client()
        if ignored := sorted(_OURS & self._address.options):
            _log.warning("MONGODB_URL says %s, which is not followed", ", ".join(ignored))
        try:
            await self._wait(client, start_timeout, waiting or _log.warning)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def __aenter__(self) -> Mongo:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def ping(self) -> None:
        """Ask the database for an answer. Raises Unavailable."""
        try:
            async with asyncio.timeout(_PING_SECONDS):
                with translated():
                    await self.database.command("ping")
        except TimeoutError as error:
            raise Unavailable("The database does not answer in time.") from error

    async def ensure_indexes(self, indexes: Mapping[str, Sequence[IndexModel]]) -> None:
        """Make the indexes of these collections that are not there. Many processes may do this at once. Raises StartupError."""
        from pymongo.errors import OperationFailure

        try:
            with translated():
                for name, wanted in indexes.items():
                    await self.database[name].create_indexes(list(wanted))
        except Unavailable as error:
            raise StartupError(
                f"The MongoDB {self.address} went away during the start.", "Look at its log, and start again."
            ) from error
        except OperationFailure as error:
            raise self._refused(error) from None

    def _new_client(self) -> AsyncMongoClient[Document]:
        from pymongo import AsyncMongoClient
        from pymongo.errors import PyMongoError

        ours: dict[str, Any] = {
            "appname": "antiphon",
            "connectTimeoutMS": int(self._connect_timeout * 1000),
            "serverSelectionTimeoutMS": int(self._connect_timeout * 1000),
            "socketTimeoutMS": int(_ANSWER_SECONDS * 1000),
            "waitQueueTimeoutMS": int(_BORROW_SECONDS * 1000),
        }
        options = {name: value for name, value in ours.items() if name.lower() not in self._address.options}
        try:
            return AsyncMongoClient(self._url, tz_aware=True, **options)
        except (PyMongoError, ValueError, TypeError):
            # What the driver says may quote the address.
            raise StartupError(
                "MONGODB_URL is no address that MongoDB's driver understands.", ADVICE
            ) from None

    async def _wait(
        self, client: AsyncMongoClient[Document], start_timeout: float, waiting: Callable[[str], None]
    ) -> None:
        from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

        deadline = time.monotonic() + start_timeout
        remind = 0.0
        while True:
            try:
                await client[self._address.database].command("ping")
                return
            except PyMongoError as error:
                # Of a name that does not resolve now the driver says the same, but says why.
                if isinstance(error, ConfigurationError) and error.__cause__ is None:
                    raise self._unsuitable(error) from None
                if isinstance(error, OperationFailure) and not is_outage(error):
                    raise self._refused(error) from None
                why = _shortened(error)
                if time.monotonic() > deadline:
                    raise StartupError(
                        f"The MongoDB {self.address} cannot be reached: {why}.",
                        "Start it, or correct MONGODB_URL.",
                    ) from None
                if time.monotonic() > remind:
                    waiting(f"Waiting for the MongoDB {self.address}: {why}")
                    remind = time.monotonic() + _REMIND_SECONDS
            await asyncio.sleep(_RETRY_SECONDS)

    def _unsuitable(self, error: Exception) -> StartupError:
        if "wire version" in str(error):
            return StartupError(
                f"The MongoDB {self.address} is too old: {_shortened(error)}.",
                "MongoDB 4.4 or later is needed.",
            )
        return StartupError(f"The MongoDB {self.address} can't be used: {_shortened(error)}.", ADVICE)

    def _refused(self, error: Exception) -> StartupError:
        if getattr(error, "code", None) in _UNAUTHORIZED:
            return StartupError(
                f"The MongoDB {self.address} refuses this user: {_shortened(error)}.",
                "Correct the user and password in MONGODB_URL, name the database of the user with `?authSource=admin`, and "
                "give the user the role readWrite on this database.",
            )
        return StartupError(
            f"The MongoDB {self.address} refuses what the suite needs: {_shortened(error)}.",
            "Look at its log.",
        )


def _shortened(error: Exception) -> str:
    """What the driver says, without its view of the whole cluster."""
    text = " ".join(str(error).split())
    for end in (", Timeout:", ", full error:", " (configured timeouts:"):
        text = text.partition(end)[0]
    return text.rstrip(".")
