"""What Auth says of credentials by RPC, as this capability's own values."""

from __future__ import annotations

from antiphon.auth.v1 import auth_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.capabilities.identity.errors import ApiKeyInvalid
from services.capabilities.identity.model import CALLER_KINDS
from services.capabilities.identity.revocations import FeedItem, Heartbeat, Revocation, RevocationKind, Synced
from services.kernel.principal import Principal

_REVOKED = {
    auth_pb2.REVOCATION_KIND_SESSION: RevocationKind.SESSION,
    auth_pb2.REVOCATION_KIND_USER: RevocationKind.USER,
    auth_pb2.REVOCATION_KIND_USER_DELETED: RevocationKind.USER_DELETED,
    auth_pb2.REVOCATION_KIND_API_KEY: RevocationKind.API_KEY,
}
_ROLES = {
    auth_pb2.ROLE_USER: "user",
    auth_pb2.ROLE_SERVICE: "service",
    auth_pb2.ROLE_ADMIN: "admin",
}


def key_owner(response: auth_pb2.VerifyTokenResponse) -> Principal:
    """Whose API key it is. Raises ApiKeyInvalid for one that is not accepted, ValueError for an answer that is about no API key."""
    if not response.active:
        raise ApiKeyInvalid
    kind = CALLER_KINDS.get(_ROLES.get(response.role, ""))
    if kind is None or not response.user_id or not response.api_key_id:
        raise ValueError("the answer names no key and no person")
    return Principal(
        kind,
        user_id=response.user_id,
        api_key_id=response.api_key_id,
        scopes=frozenset(response.scopes),
        expire_time=_seconds(response.expire_time) if response.HasField("expire_time") else 0.0,
    )


def feed_item(response: auth_pb2.WatchRevocationsResponse) -> FeedItem | None:
    """An item of the feed; None for one that this version does not know. Raises ValueError for a position that is no number."""
    which = response.WhichOneof("item")
    if which == "heartbeat":
        return Heartbeat()
    if which == "synced":
        return Synced(int(response.synced.revocation_id))
    kind = _REVOKED.get(response.revocation.kind)
    if kind is None:
        return None
    entry = response.revocation
    return Revocation(
        position=int(entry.revocation_id),
        kind=kind,
        subject_id=entry.subject_id,
        revoke_time=_seconds(entry.revoke_time),
        expire_time=_seconds(entry.expire_time),
    )


def _seconds(time: Timestamp) -> float:
    return time.ToNanoseconds() / 1e9
