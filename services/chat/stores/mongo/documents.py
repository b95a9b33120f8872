"""Generations as documents, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bson import Binary

from services.capabilities.claims.model import Claim
from services.capabilities.metering import outbox
from services.capabilities.metering.model import Provenance, Unit, Usage, UsageEvent
from services.chat.generation.merging import assembled
from services.chat.mapping.events import events_from_bytes, events_to_bytes
from services.chat.model import Ending, Event, FinishReason, Generation, Lease, NewGeneration, State
from services.chat.stores.mongo.claiming import claim_fields
from services.chat.stores.mongo.contents import (
    from_micros,
    message_document,
    message_of,
    session_document,
    to_micros,
    words_of,
)
from services.kernel.failures import Failure

Document = dict[str, Any]

_MICROSECOND = timedelta(microseconds=1)

ASKED = "asked"
"""`unprojected` of a generation whose session or question may not be where they belong."""
ANSWERED = "answered"
"""The same of its answer, and maybe of the former."""


def running_of(owner_id: str) -> Document:
    """What finds the running generations of a process."""
    return {"owner_id": owner_id, "state": State.RUNNING.value}


def owned_by(lease: Lease, generation_id: str) -> Document:
    """What finds a generation as long as it runs under the lease."""
    return {"_id": generation_id, **running_of(lease.owner_id), "epoch": lease.epoch}


def claim_of(new: NewGeneration) -> Claim | None:
    """What the call claims; None without a request_id."""
    request_id = new.generation.request_id
    return Claim(new.caller, request_id, new.digest) if request_id else None


def generation_document(lease: Lease, new: NewGeneration) -> Document:
    """What `chat_generations` keeps of a generation that begins."""
    generation = new.generation
    document: Document = {
        "_id": generation.generation_id,
        "message_id": generation.message_id,
        "user_id": generation.user_id,
        "api_key_id": generation.api_key_id,
        "caller": new.caller,
        "request_id": generation.request_id,
        "operation": generation.operation,
        "project": generation.project,
        "model": generation.model,
        "provider": generation.provider,
        "requested_model": generation.model,
        "input_tokens_estimate": generation.input_tokens_estimate,
        "state": State.RUNNING.value,
        "created_at": to_micros(generation.create_time),
        "owner_id": lease.owner_id,
        "epoch": lease.epoch,
        "started": Binary(events_to_bytes([new.started])),
        **claim_fields(claim_of(new)),
    }
    if generation.session_id:
        document["session_id"] = generation.session_id
    if new.session is not None:
        document["opens"] = session_document(new.session)
    if new.user_message is not None:
        asked = message_document(
            new.user_message, generation.session_id, generation.user_id, generation.create_time
        )
        document["asked"] = {"message": _without_words(asked), "title": new.title}
    if new.session is not None or new.user_message is not None:
        document["unprojected"] = ASKED
    return document


def ending_changes(generation: Generation, ending: Ending, usage_event: UsageEvent | None) -> Document:
    """The update that ends a generation, with all of its content."""
    changes: Document = {
        **_end(ending, usage_event),
        "reasoning": ending.reasoning,
    }
    if ending.failure is not None:
        changes["failure"] = _failure_document(ending.failure)
    if ending.last_events:
        changes["tail_first_seq"] = ending.last_events[0].first_seq
        changes["tail"] = Binary(events_to_bytes(ending.last_events))
    if ending.message is not None:
        message = replace(
            ending.message,
            generation_id=generation.generation_id,
            model=ending.model,
            finish_reason=ending.finish_reason,
        )
        answer = message_document(message, generation.session_id, generation.user_id, ending.end_time)
        changes["answer"] = _without_words(answer)
    if generation.session_id:
        changes["unprojected"] = ANSWERED
    else:
        changes["loose"] = generation.message_id
    freed = {"$unset": {"claim": "", "digest": ""}} if ending.free_claim else {}
    return {"$set": changes, **freed}


def forgotten_changes(ending: Ending, usage_event: UsageEvent | None) -> Document:
    """The update that ends a generation whose session was deleted: nothing of its content."""
    changes: Document = {**_end(ending, usage_event), "reasoning": ""}
    if ending.failure is not None:
        changes["failure"] = _failure_document(Failure(ending.failure.code, ending.failure.reason, ""))
    return {"$set": changes, "$unset": {"opens": "", "asked": "", "unprojected": ""}}


def _end(ending: Ending, usage_event: UsageEvent | None) -> Document:
    changes: Document = {
        "state": ending.state.value,
        "finish_reason": ending.finish_reason.value if ending.finish_reason else "",
        "usage": {
            "quantities": _quantities_document(ending.usage),
            "provenance": ending.usage.provenance.value,
        },
        "last_seq": ending.last_seq,
        "ended_at": to_micros(ending.end_time),
        "model": ending.model,
        "provider": ending.provider,
    }
    if usage_event is not None:
        changes["event_id"] = usage_event.event_id
        changes["event_status"] = usage_event.status.value
        changes["quantities"] = _quantities_document(ending.usage)
        changes["usage_event"] = Binary(outbox.payload(usage_event))
        changes["unshipped"] = usage_event.event_id
        if usage_event.time_to_first_token is not None:
            changes["time_to_first_token"] = usage_event.time_to_first_token // _MICROSECOND
    return changes


def is_same_end(document: Mapping[str, Any], ending: Ending) -> bool:
    """Whether this very ending is stored already."""
    return (
        document["state"] == ending.state.value
        and document.get("last_seq") == ending.last_seq
        and document.get("ended_at") == to_micros(ending.end_time)
    )


def started_of(document: Mapping[str, Any]) -> list[Event]:
    """The first event."""
    return events_from_bytes(bytes(document["started"]))


def tail_of(document: Mapping[str, Any]) -> list[Event]:
    """The events that came with the end."""
    tail = document.get("tail")
    return events_from_bytes(bytes(tail)) if tail is not None else []


def generation_of(document: Mapping[str, Any], events: Sequence[Event]) -> Generation:
    """A generation from its document and the events of its record, which are needed while there is no answer."""
    failure, usage = document.get("failure"), document.get("usage")
    forgotten = bool(document.get("forgotten"))
    generation = Generation(
        generation_id=document["_id"],
        session_id=document.get("session_id", ""),
        message_id=document["message_id"],
        request_id=document["request_id"],
        user_id=document["user_id"],
        project=document["project"],
        model=document["model"],
        provider=document["provider"],
        state=State(document["state"]),
        create_time=from_micros(document["created_at"]),
        last_seq=max(document.get("last_seq", 1), events[-1].seq if events else 1),
        finish_reason=FinishReason(document["finish_reason"]) if document.get("finish_reason") else None,
        reasoning=document.get("reasoning", ""),
        usage=_usage_of(usage) if usage else None,
        end_time=from_micros(document["ended_at"]) if "ended_at" in document else None,
        failure=Failure(**failure) if failure else None,
        events_pruned=forgotten or bool(document.get("events_pruned")),
        operation=document["operation"],
        api_key_id=document["api_key_id"],
        input_tokens_estimate=document["input_tokens_estimate"],
        requested_model=document["requested_model"],
        forgotten=forgotten,
    )
    if "answer" in document:
        answer = message_of(document["answer"])
        return replace(generation, text=answer.text, tool_calls=answer.tool_calls)
    if generation.events_pruned:
        return generation
    whole = assembled(events)
    if generation.state is not State.RUNNING:
        # The end says which model it was.
        whole = {name: value for name, value in whole.items() if name not in ("model", "provider")}
    return replace(generation, **whole)  # type: ignore[arg-type]


def stored_message(part: Mapping[str, Any]) -> Document:
    """A message that the document of a generation holds, as `chat_messages` keeps it."""
    return {**part, "words": words_of(message_of(part))}


def _without_words(message: Document) -> Document:
    return {name: value for name, value in message.items() if name != "words"}


def _failure_document(failure: Failure) -> Document:
    return {
        "code": failure.code,
        "reason": failure.reason,
        "message": failure.message,
        "metadata": dict(failure.metadata),
        "retry_after": failure.retry_after,
    }


def _quantities_document(usage: Usage) -> Document:
    return {unit.name: amount for unit, amount in usage.quantities.items()}


def quantities_of(document: Mapping[str, Any]) -> dict[Unit, int]:
    """Quantities by unit; those of zero vanish."""
    return {Unit[name]: amount for name, amount in document.items() if amount}


def _usage_of(document: Mapping[str, Any]) -> Usage:
    return Usage(quantities_of(document["quantities"]), Provenance(document["provenance"]))
