"""The values that the statements of a chat call take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from services.capabilities.metering import outbox
from services.capabilities.metering.mapping import usage_to_proto
from services.capabilities.metering.model import Unit, UsageEvent
from services.chat.mapping.events import events_to_bytes
from services.chat.model import (
    Ending,
    Generation,
    Lease,
    NewGeneration,
)
from services.chat.ports import Flush
from services.chat.stores import rows
from services.infra.postgres.dedicated import bigint, bigints, byteas, uuids

HISTORY_BYTES = 4 * 1024**2


def lease_values(lease: Lease) -> dict[str, Any]:
    return {"owner_id": lease.owner_id, "epoch": lease.epoch}


def append_values(lease: Lease, flushes: Sequence[Flush]) -> list[bytes]:
    return [
        UUID(lease.owner_id).bytes,
        bigint(lease.epoch),
        uuids([UUID(flush.generation_id).bytes for flush in flushes]),
        bigints([flush.first_seq for flush in flushes]),
        bigints([flush.seq for flush in flushes]),
        byteas([events_to_bytes(flush.events) for flush in flushes]),
    ]


def begin_values(lease: Lease, new: NewGeneration) -> dict[str, Any]:
    generation, session, asked = new.generation, new.session, new.user_message
    return {
        **lease_values(lease),
        "generation_id": generation.generation_id,
        "session_id": generation.session_id or None,
        "message_id": generation.message_id,
        "user_id": generation.user_id,
        "api_key_id": generation.api_key_id,
        "caller": new.caller,
        "request_id": generation.request_id or None,
        "digest": new.digest,
        "operation": generation.operation,
        "input_tokens_estimate": generation.input_tokens_estimate,
        "project": generation.project,
        "model": generation.model,
        "provider": generation.provider,
        "now": generation.create_time,
        "opens_session": session is not None,
        "title": session.title if session else "",
        "new_title": new.title,
        "session_model": session.model if session else "",
        "system_prompt": session.system_prompt if session else "",
        "user_message_id": asked.message_id if asked else None,
        "user_texts": list(asked.texts) if asked else [],
        "started": events_to_bytes([new.started]),
    }


def finish_values(
    lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
) -> dict[str, Any]:
    message, events = ending.message, ending.last_events
    return {
        **lease_values(lease),
        "generation_id": generation.generation_id,
        "state": ending.state.value,
        "finish_reason": ending.finish_reason.value if ending.finish_reason else None,
        "failure": Jsonb(rows.failure_to_json(ending.failure)) if ending.failure else None,
        "usage": usage_to_proto(ending.usage).SerializeToString(),
        "reasoning": ending.reasoning,
        "last_seq": ending.last_seq,
        "ended_at": ending.end_time,
        "first_seq": events[0].first_seq if events else None,
        "payload": events_to_bytes(events) if events else None,
        "message_id": message.message_id if message else None,
        "texts": list(message.texts) if message else [],
        "tool_calls": Jsonb(rows.tool_calls_to_json(message.tool_calls) if message else []),
        "model": ending.model,
        "provider": ending.provider,
        "free_claim": ending.free_claim,
        "event_id": usage_event.event_id if usage_event else None,
        "event_user_id": usage_event.user_id if usage_event else "",
        "event": outbox.payload(usage_event) if usage_event else None,
        "event_status": usage_event.status.value if usage_event else None,
        "quantities": [ending.usage.quantities.get(unit, 0) for unit in Unit],
    }
