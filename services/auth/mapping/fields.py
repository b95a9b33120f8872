"""Times, field masks and the origin of a call, as several subjects need them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from services.auth.model.audit import Origin, Standing
from services.kernel.errors import InvalidArgument
from services.kernel.request import Request


def timestamp(time: datetime | None) -> Timestamp | None:
    """A point in time as protobuf has it; None stays absent."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def seconds(time: float) -> Timestamp:
    """Unix seconds as protobuf has a point in time."""
    message = Timestamp()
    message.FromNanoseconds(round(time * 1e9))
    return message


def masked_fields(mask: FieldMask, allowed: Collection[str]) -> frozenset[str]:
    """The fields that a mask names; `*` names all that can be changed (AIP-134).

    Raises InvalidArgument for an empty mask and for a field that can't be changed.
    """
    if list(mask.paths) == ["*"]:
        return frozenset(allowed)
    can = ", ".join(sorted(allowed))
    if not mask.paths:
        raise InvalidArgument.field("update_mask", f"must name at least one of {can}")
    for path in mask.paths:
        if path not in allowed:
            raise InvalidArgument.field("update_mask", f"{path!r} can't be changed here; these can: {can}")
    return frozenset(mask.paths)


def origin_of(call: Request) -> Origin:
    """Who makes a call, for the audit trail."""
    principal = call.principal
    via = {"api_key_id": principal.api_key_id, "service": principal.service}
    standing = None
    if principal.session_id or principal.api_key_id:
        standing = Standing(
            principal.session_id, principal.api_key_id, principal.is_admin, principal.revision
        )
    return Origin(
        principal.user_id, call.address, {key: value for key, value in via.items() if value}, standing
    )
