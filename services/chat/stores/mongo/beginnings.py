"""The beginning of generations."""

from __future__ import annotations

import asyncio

from pymongo.errors import DuplicateKeyError

from services.capabilities.claims.model import Claim
from services.chat.model import Lease, NewGeneration
from services.chat.ports import LeaseLost
from services.chat.stores.mongo.claiming import require_unused, reused
from services.chat.stores.mongo.documents import claim_of, generation_document, owned_by
from services.chat.stores.mongo.leases import Leases
from services.chat.stores.mongo.projections import Projections
from services.infra.mongo.client import Mongo
from services.kernel.errors import AlreadyExists, NotFound, Unavailable

_HOLDER = "chat_generations"


class Beginnings:
    """Begins generations. The insertion of the document is the step: it claims the request_id, and holds the session and the question.

    Whether there was a place for it is looked up afterwards, so that whoever takes that place away meanwhile, a take-over or a deletion,
    either finds the document or is found; then it is taken back. A crash before that leaves a generation of a dead process.
    """

    def __init__(self, mongo: Mongo, leases: Leases, projections: Projections) -> None:
        self._database = mongo.database
        self._generations = mongo[_HOLDER]
        self._sessions = mongo["chat_sessions"]
        self._messages = mongo["chat_messages"]
        self._leases = leases
        self._projections = projections

    async def begin(self, lease: Lease, new: NewGeneration) -> tuple[str, bool]:
        """Begin, unless an earlier call holds the claim. Returns the id of whatever has begun, and whether it was by this insertion.

        Raises AlreadyExists, LeaseLost, NotFound.
        """
        document = generation_document(lease, new)
        inserted = True
        try:
            await self._generations.insert_one(document)
        except DuplicateKeyError:
            earlier = await self._earlier(new)
            if earlier != document["_id"]:
                return earlier, False
            inserted = False
        try:
            await self._require_place(lease, new)
            if "unprojected" in document and not await self._projections.project(document):
                raise NotFound.of("chat.session", new.generation.session_id)
        except (LeaseLost, AlreadyExists, NotFound):
            await self._take_back(lease, new)
            raise
        return new.generation.generation_id, inserted

    async def claimed(self, claim: Claim) -> str | None:
        """The id of the generation that holds the claim. Raises AlreadyExists when it came with another body."""
        wanted = {"claim": f"{claim.caller} {claim.request_id}"}
        found = await self._generations.find_one(wanted, {"digest": 1})
        if found is None:
            return None
        if bytes(found["digest"]) != claim.digest:
            raise reused(claim)
        return str(found["_id"])

    async def _earlier(self, new: NewGeneration) -> str:
        """Whose insertion came before: this very call's, or that of the call which holds the claim."""
        generation_id, claim = new.generation.generation_id, claim_of(new)
        holder = None if claim is None else await self.claimed(claim)
        if holder is not None:
            return holder
        if await self._generations.find_one({"_id": generation_id}, {"_id": 1}):
            return generation_id
        # The holder freed it between the two steps.
        raise Unavailable("the first call with this request_id has just failed; try again", retry_after=0.1)

    async def _require_place(self, lease: Lease, new: NewGeneration) -> None:
        """Look, after the insertion, whether the lease, the session and the claim allowed it."""
        held, there, _ = await asyncio.gather(
            self._leases.is_held(lease),
            self._has_session(new),
            require_unused(self._database, claim_of(new), _HOLDER),
        )
        if not held:
            raise LeaseLost
        if not there:
            raise NotFound.of("chat.session", new.generation.session_id)

    async def _has_session(self, new: NewGeneration) -> bool:
        session_id = new.generation.session_id
        if new.session is not None or not session_id:
            return True
        wanted = {"_id": session_id, "user_id": new.generation.user_id, "deleted": {"$ne": True}}
        return await self._sessions.find_one(wanted, {"_id": 1}) is not None

    async def _take_back(self, lease: Lease, new: NewGeneration) -> None:
        """Remove what was inserted, unless somebody has adopted it, who ends it then."""
        deleted = await self._generations.delete_one(owned_by(lease, new.generation.generation_id))
        if deleted.deleted_count:
            # A reader may have projected it meanwhile.
            if new.user_message is not None:
                await self._messages.delete_one({"_id": new.user_message.message_id})
            if new.session is not None:
                await self._sessions.delete_one({"_id": new.session.session_id})
