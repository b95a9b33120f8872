"""The request_ids of callers: each names one call, whichever document holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import Binary
from pymongo.asynchronous.database import AsyncDatabase

from services.capabilities.claims.model import Claim
from services.kernel.errors import AlreadyExists

_HOLDERS = ("chat_generations", "chat_sessions", "chat_messages")


def claim_fields(claim: Claim | None) -> dict[str, Any]:
    """What the document of the call holds while it holds the claim."""
    if claim is None:
        return {}
    return {"claim": f"{claim.caller} {claim.request_id}", "digest": Binary(claim.digest)}


async def require_unused(database: AsyncDatabase[dict[str, Any]], claim: Claim | None, holder: str) -> None:
    """Refuse a claim that a call of another kind holds than those whose documents are in the collection `holder`. Raises AlreadyExists.

    Each collection takes a claim once, and none knows of the others: of two calls of different kinds that come with one request_id at the
    same moment both are served.
    """
    if claim is None:
        return
    wanted = {"claim": claim_fields(claim)["claim"]}
    for name in _HOLDERS:
        if name != holder and await database[name].find_one(wanted, {"_id": 1}) is not None:
            raise reused(claim)


async def earlier(
    database: AsyncDatabase[dict[str, Any]], claim: Claim, holder: str
) -> Mapping[str, Any] | None:
    """The document in the collection `holder` that holds the claim; None when it was freed. Raises AlreadyExists when the bodies differ."""
    found = await database[holder].find_one({"claim": claim_fields(claim)["claim"]})
    if found is not None and bytes(found["digest"]) != claim.digest:
        raise reused(claim)
    return found


def reused(claim: Claim) -> AlreadyExists:
    """The request_id came with another body."""
    return AlreadyExists(
        "this request_id was used before with another body; make a new one for a new request",
        reason="REQUEST_ID_REUSED",
        metadata={"request_id": claim.request_id},
    )
