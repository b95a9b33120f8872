"""What callers ask of sessions and of usage, as values."""

from __future__ import annotations

import re
from typing import Any, cast

from antiphon.chat.v1 import chat_pb2
from buf.validate import validate_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from services.chat.mapping.requests import require_storable, require_title
from services.kernel.errors import InvalidArgument, Violation

_TEXTS = ("title", "project", "model", "system_prompt")
_CHANGEABLE = (*_TEXTS, "archived")
# As the rule for the ids of other requests has it.
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def session_changes(request: chat_pb2.UpdateSessionRequest) -> tuple[str, dict[str, str | bool]]:
    """Which session is changed, and the new values by their fields' names.

    Raises InvalidArgument for an id that is none, a field that can't be changed, and a value that CreateSession would refuse.
    """
    fields = _masked(request.update_mask)
    session = request.session
    if not _UUID.fullmatch(session.session_id):
        raise InvalidArgument.field("session.session_id", "must be the UUID of a session")
    texts = {name: str(getattr(session, name)) for name in _TEXTS if name in fields}
    require_storable(**{f"session.{name}": text for name, text in texts.items()})
    long = [violation for name, text in texts.items() if (violation := _too_long(name, text))]
    if long:
        raise InvalidArgument("; ".join(f"{one.field}: {one.description}" for one in long), violations=long)
    require_title("session.title", texts.get("title", ""))
    return session.session_id.lower(), {
        **texts,
        **({"archived": session.archived} if "archived" in fields else {}),
    }


def _masked(mask: FieldMask) -> frozenset[str]:
    """The fields that a mask names; `*` names all that can be changed (AIP-134)."""
    if list(mask.paths) == ["*"]:
        return frozenset(_CHANGEABLE)
    can = f"these can be changed: {', '.join(_CHANGEABLE)}"
    if not mask.paths:
        raise InvalidArgument.field("update_mask", f"names no field; {can}")
    seen = set[str]()
    for path in mask.paths:
        if path not in _CHANGEABLE:
            raise InvalidArgument.field("update_mask", f"{path!r} can't be changed here; {can}")
        if path in seen:
            raise InvalidArgument.field("update_mask", f"names {path!r} twice; {can}")
        seen.add(path)
    return frozenset(seen)


def _too_long(name: str, text: str) -> Violation | None:
    # One contract for both: the rules stand beside the fields of CreateSessionRequest.
    field = chat_pb2.CreateSessionRequest.DESCRIPTOR.fields_by_name[name]
    rules = field.GetOptions().Extensions[cast("Any", validate_pb2.field)].string
    if rules.HasField("max_len") and len(text) > rules.max_len:
        return Violation(f"session.{name}", f"must be at most {rules.max_len} characters")
    if rules.HasField("max_bytes") and len(text.encode()) > rules.max_bytes:
        return Violation(f"session.{name}", f"must be at most {rules.max_bytes} bytes")
    return None
