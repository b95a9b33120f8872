"""The values that the statements of a chat call take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

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
from services.chat.stores import rows, statements
from services.chat.stores.parts import order_of
from services.infra.postgres.binary import (
    TRUE,
    Kind,
    bigint,
    bigints,
    boolean,
    byteas,
    jsonb,
    smallint,
    text,
    texts,
    timestamptz,
    uuid,
    uuids,
)
from services.infra.postgres.prepared import PreparedStatement

HISTORY_BYTES = 4 * 1024**2

BEGIN = PreparedStatement(
    statements.BEGIN,
    {
        "owner_id": Kind.UUID,
        "epoch": Kind.BIGINT,
        "generation_id": Kind.UUID,
        "session_id": Kind.UUID,
        "message_id": Kind.UUID,
        "user_id": Kind.TEXT,
        "api_key_id": Kind.TEXT,
        "caller": Kind.TEXT,
        "request_id": Kind.UUID,
        "digest": Kind.BYTEA,
        "operation": Kind.TEXT,
        "input_tokens_estimate": Kind.BIGINT,
        "project": Kind.TEXT,
        "model": Kind.TEXT,
        "provider": Kind.TEXT,
        "now": Kind.TIMESTAMPTZ,
        "opens_session": Kind.BOOLEAN,
        "title": Kind.TEXT,
        "new_title": Kind.TEXT,
        "session_model": Kind.TEXT,
        "system_prompt": Kind.TEXT,
        "user_message_id": Kind.UUID,
        "user_texts": Kind.TEXTS,
        "user_parts": Kind.JSONB,
        "started": Kind.BYTEA,
    },
)

FINISH = PreparedStatement(
    statements.FINISH,
    {
        "owner_id": Kind.UUID,
        "epoch": Kind.BIGINT,
        "generation_id": Kind.UUID,
        "state": Kind.TEXT,
        "finish_reason": Kind.TEXT,
        "failure": Kind.JSONB,
        "usage": Kind.BYTEA,
        "reasoning": Kind.TEXT,
        "last_seq": Kind.BIGINT,
        "ended_at": Kind.TIMESTAMPTZ,
        "first_seq": Kind.BIGINT,
        "payload": Kind.BYTEA,
        "message_id": Kind.UUID,
        "texts": Kind.TEXTS,
        "tool_calls": Kind.JSONB,
        "model": Kind.TEXT,
        "provider": Kind.TEXT,
        "free_claim": Kind.BOOLEAN,
        "event_id": Kind.UUID,
        "event_user_id": Kind.TEXT,
        "event": Kind.BYTEA,
        "event_status": Kind.SMALLINT,
        "time_to_first_token": Kind.BIGINT,
        "quantities": Kind.BIGINTS,
    },
)

_UNITS = tuple(Unit)
_MICROSECOND = timedelta(microseconds=1)
_NO_TEXTS = texts(())
_NO_TOOL_CALLS = jsonb([])


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


def begin_values(lease: Lease, new: NewGeneration) -> dict[str, bytes | None]:
    """What BEGIN takes. Raises InvalidArgument for a text that can't be kept."""
    generation, session, asked = new.generation, new.session, new.user_message
    return {
        "owner_id": uuid(lease.owner_id),
        "epoch": bigint(lease.epoch),
        "generation_id": uuid(generation.generation_id),
        "session_id": uuid(generation.session_id) if generation.session_id else None,
        "message_id": uuid(generation.message_id),
        "user_id": text(generation.user_id),
        "api_key_id": text(generation.api_key_id),
        "caller": text(new.caller),
        "request_id": uuid(generation.request_id) if generation.request_id else None,
        "digest": new.digest,
        "operation": text(generation.operation),
        "input_tokens_estimate": bigint(generation.input_tokens_estimate),
        "project": text(generation.project),
        "model": text(generation.model),
        "provider": text(generation.provider),
        "now": timestamptz(generation.create_time),
        "opens_session": boolean(session is not None),
        "title": text(session.title) if session else b"",
        "new_title": text(new.title),
        "session_model": text(session.model) if session else b"",
        "system_prompt": text(session.system_prompt) if session else b"",
        "user_message_id": uuid(asked.message_id) if asked else None,
        "user_texts": texts(asked.texts) if asked else _NO_TEXTS,
        "user_parts": jsonb(order_of(asked)) if asked and asked.images else None,
        "started": events_to_bytes([new.started]),
    }


def has_begun(row: Sequence[bytes | None]) -> tuple[bool, bool]:
    """What BEGIN returns: whether the lease is in force, and whether the generation was stored."""
    return row[0] == TRUE, row[1] == TRUE


def finish_values(
    lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
) -> dict[str, bytes | None]:
    """What FINISH takes. Raises InvalidArgument for a text that can't be kept."""
    message, events, quantities = ending.message, ending.last_events, ending.usage.quantities
    return {
        "owner_id": uuid(lease.owner_id),
        "epoch": bigint(lease.epoch),
        "generation_id": uuid(generation.generation_id),
        "state": text(ending.state.value),
        "finish_reason": text(ending.finish_reason.value) if ending.finish_reason else None,
        "failure": jsonb(rows.failure_to_json(ending.failure)) if ending.failure else None,
        "usage": usage_to_proto(ending.usage).SerializeToString(),
        "reasoning": text(ending.reasoning),
        "last_seq": bigint(ending.last_seq),
        "ended_at": timestamptz(ending.end_time),
        "first_seq": bigint(events[0].first_seq) if events else None,
        "payload": events_to_bytes(events) if events else None,
        "message_id": uuid(message.message_id) if message else None,
        "texts": texts(message.texts) if message else _NO_TEXTS,
        "tool_calls": jsonb(rows.tool_calls_to_json(message.tool_calls))
        if message and message.tool_calls
        else _NO_TOOL_CALLS,
        "model": text(ending.model),
        "provider": text(ending.provider),
        "free_claim": boolean(ending.free_claim),
        "event_id": uuid(usage_event.event_id) if usage_event else None,
        "event_user_id": text(usage_event.user_id) if usage_event else b"",
        "event": outbox.payload(usage_event) if usage_event else None,
        "event_status": smallint(usage_event.status.value) if usage_event else None,
        "time_to_first_token": _first_token(usage_event),
        "quantities": bigints([quantities.get(unit, 0) for unit in _UNITS]),
    }


def _first_token(usage_event: UsageEvent | None) -> bytes | None:
    waited = None if usage_event is None else usage_event.time_to_first_token
    return None if waited is None else bigint(waited // _MICROSECOND)


def has_finished(row: Sequence[bytes | None]) -> bool:
    """What FINISH returns: whether the end was stored."""
    return row[0] == TRUE
