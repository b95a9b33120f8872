"""Takes deleted people out of batches and figures."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from hashlib import blake2b

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from services.analytics.stores.mongo.batches import Document
from services.infra.mongo.client import Mongo

_AT_ONCE = 200


class People:
    """Who was deleted, and what leads to them.

    A deletion is noted first. Whoever writes something of a person looks before and afterwards whether they are noted: either the deletion
    finds what was written, or the writer finds the deletion and does the same. What is changed in a document are fields that nothing is found by
    again, each to the same value by whoever does it, so neither order nor repetition matters, and no sum moves. The note does not name the person,
    and runs out when nothing of theirs can come any more.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._forgotten = mongo["analytics_forgotten"]
        self._batches = mongo["analytics_batches"]
        self._figures = mongo["analytics_figures"]

    async def gone(self, user_ids: Collection[str]) -> set[str]:
        """Those of them who were deleted."""
        wanted = {_digest_of(user_id): user_id for user_id in user_ids if user_id}
        if not wanted:
            return set()
        return {
            wanted[found["_id"]] async for found in self._forgotten.find({"_id": {"$in": sorted(wanted)}})
        }

    async def look_again(self, user_ids: Collection[str]) -> None:
        """Take those out who were deleted while something of theirs was written."""
        for user_id in await self.gone(user_ids):
            await self.take_out(user_id)

    async def note(self, user_id: str) -> None:
        """Have all know that a person was deleted."""
        note = {"_id": _digest_of(user_id)}
        try:
            await self._forgotten.update_one(note, {"$currentDate": {"noted_at": True}}, upsert=True)
        except DuplicateKeyError:
            # Another process noted it at the same moment.
            return

    async def forget_before(self, moment: datetime) -> None:
        """Forget who was deleted before a moment of the server's clock."""
        await self._forgotten.delete_many({"noted_at": {"$lt": moment}})

    async def take_out(self, user_id: str) -> None:
        """Make nobody's what is the person's."""
        theirs = {"parts.user_id": user_id}
        while found := await self._batches.find(theirs, {"parts.user_id": 1}).limit(_AT_ONCE).to_list():
            await self._batches.bulk_write([_without(batch, user_id) for batch in found], ordered=False)
        await self._figures.update_many({"user_id": user_id}, {"$set": {"user_id": "", "api_key_id": ""}})


def _digest_of(user_id: str) -> str:
    return blake2b(user_id.encode(), digest_size=16, person=b"user").hexdigest()


def _without(batch: Document, user_id: str) -> UpdateOne:
    """The update of a batch that makes a person's parts nobody's; they stay where they are."""
    changes: Document = {}
    for place, part in enumerate(batch["parts"]):
        if part["user_id"] == user_id:
            changes |= {
                f"parts.{place}.user_id": "",
                f"parts.{place}.api_key_id": "",
                f"parts.{place}.session_ids": [],
                f"parts.{place}.request_ids": [],
            }
    return UpdateOne({"_id": batch["_id"]}, {"$set": changes})
