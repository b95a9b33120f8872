"""The audit trail: who did what to which account, when, and from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller was let in for: a login session or an API key (the other one is empty), and as an administrator or not.
    `revision` is the position in the feed of revocations from which the key was looked up.

    The process that let the caller in may not have heard yet that it was taken back. So what it asks for is done only if its standing
    still holds in the transaction of the deed: else somebody who has just lost access could give it to themselves again, for good.
    """

    session_id: str = ""
    api_key_id: str = ""
    administers: bool = False
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks for something to be done. `actor_id` is empty for somebody unknown and for the server's own command line;
    `via` says how the call came: `{"api_key_id": …}`, `{"service": …}`, or nothing. `standing` is None where there is none to lose:
    with a password, a refresh token, or a service's word."""

    actor_id: str
    address: str
    via: Mapping[str, str] = field(default_factory=dict)
    standing: Standing | None = None


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
