"""The audit trail: who did what to which account, when, and from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks for something to be done. `actor_id` is empty for somebody unknown and for the server's own command line;
    `via` says how the call came: `{"api_key_id": …}`, `{"service": …}`, or nothing."""

    actor_id: str
    address: str
    via: Mapping[str, str] = field(default_factory=dict)


COMMAND_LINE = Origin("", "command line")


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done, such as `user.login`, to the account `user_id` (empty: to none that exists). `attributes` say more, and hold
    neither secrets nor what names a person: they outlive the account."""

    action: str
    user_id: str
    origin: Origin
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A line of the trail."""

    audit_event_id: str
    action: str
    actor_id: str
    user_id: str
    address: str
    create_time: datetime
    attributes: Mapping[str, str]
