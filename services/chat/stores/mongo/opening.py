"""Opens Chat's MongoDB."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.capabilities.limits import wiring as limits_wiring
from services.chat.stores.mongo.deletions import MongoDeletions
from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.chat.stores.mongo.outbox import MongoOutbox
from services.chat.stores.mongo.projections import Projections
from services.chat.stores.mongo.records import MongoRecordStore
from services.chat.stores.mongo.sessions import MongoSessionStore
from services.chat.stores.mongo.tails import MongoTails
from services.chat.stores.opening import NAME, Stores
from services.infra.mongo.checks import MongoCheck
from services.infra.mongo.client import Mongo
from services.kernel.startup import StartupError
from services.runtime.metrics import Metrics
from services.settings import Settings

_log = logging.getLogger(__name__)

# The document of a generation holds the answer, the events of it that are not stored yet, and the question.
_MOST_ANSWER_BYTES = 4 * 1024**2


@asynccontextmanager
async def opened(settings: Settings, *, limits_key: bytes, metrics: Metrics | None) -> AsyncIterator[Stores]:
    """The stores, while the block runs; indexes that are missing are made. Raises StartupError."""
    assert settings.mongo.url is not None
    if settings.chat.max_answer_bytes > _MOST_ANSWER_BYTES:
        raise StartupError(
            f"MongoDB keeps no document above 16 MB, which an answer of {settings.chat.max_answer_bytes} bytes may need with its question.",
            f"Set ANTIPHON_CHAT__MAX_ANSWER_BYTES to {_MOST_ANSWER_BYTES // 1024**2}MiB or less.",
        )
    mongo = Mongo(settings.mongo.url.get_secret_value(), settings.mongo.connect_timeout)
    await mongo.open(settings.database.start_timeout, _log.warning)
    try:
        await mongo.ensure_indexes({**GENERATION_INDEXES, **SESSION_INDEXES})
        # Others may be at work on it: nothing tells.
        async with limits_wiring.build(
            settings.limits, mongo, NAME, key=limits_key, sole_owner=False, metrics=metrics
        ) as limits:
            projections = Projections(mongo)
            yield Stores(
                MongoRecordStore(mongo, projections),
                MongoTails(mongo),
                MongoSessionStore(mongo, projections),
                MongoOutbox(mongo),
                lambda cancel_soon: MongoDeletions(mongo, cancel_soon),
                limits,
                MongoCheck(mongo),
                sole_owner=False,
            )
    finally:
        await mongo.close()
