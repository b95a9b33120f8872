"""The audit trail."""

from __future__ import annotations

from antiphon.auth.v1 import auth_pb2

from services.auth.mapping.fields import timestamp
from services.auth.model.audit import AuditEvent


def audit_event_message(event: AuditEvent) -> auth_pb2.AuditEvent:
    """A line of the trail."""
    return auth_pb2.AuditEvent(
        audit_event_id=event.audit_event_id,
        action=event.action,
        actor_id=event.actor_id,
        user_id=event.user_id,
        address=event.address,
        create_time=timestamp(event.create_time),
        attributes=event.attributes,
    )
