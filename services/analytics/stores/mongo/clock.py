"""The time by the one clock that all processes share: the server's."""

from __future__ import annotations

from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.infra.mongo.client import Mongo


async def server_time(mongo: Mongo) -> datetime:
    """What the server writes for now, without a zone or with one as the driver has it."""
    while True:
        try:
            found = await mongo["analytics_locks"].find_one_and_update(
                {"_id": "clock"},
                {"$currentDate": {"at": True}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            # Another process made it at the same moment.
            continue
        assert found is not None
        moment: datetime = found["at"]
        return moment
