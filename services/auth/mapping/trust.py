"""What other services are told of credentials: whose they are, and what was revoked."""

from __future__ import annotations

import time

from antiphon.auth.v1 import auth_pb2

from services.auth.mapping.fields import seconds
from services.auth.usecases.verify_token import Verification
from services.capabilities.identity.revocations import FeedItem, Heartbeat, Revocation, RevocationKind, Synced
from services.kernel.principal import Kind

_KINDS = {
    RevocationKind.SESSION: auth_pb2.REVOCATION_KIND_SESSION,
    RevocationKind.USER: auth_pb2.REVOCATION_KIND_USER,
    RevocationKind.USER_DELETED: auth_pb2.REVOCATION_KIND_USER_DELETED,
    RevocationKind.API_KEY: auth_pb2.REVOCATION_KIND_API_KEY,
}
_ROLES = {
    Kind.USER: auth_pb2.ROLE_USER,
    Kind.ADMIN: auth_pb2.ROLE_ADMIN,
    Kind.SERVICE: auth_pb2.ROLE_SERVICE,
}


def verification_response(verification: Verification) -> auth_pb2.VerifyTokenResponse:
    """Whom a credential belongs to, or why it is not accepted."""
    principal = verification.principal
    if principal is None:
        return auth_pb2.VerifyTokenResponse(active=False, reason=verification.reason)
    return auth_pb2.VerifyTokenResponse(
        active=True,
        user_id=principal.user_id,
        role=_ROLES[principal.kind],
        scopes=sorted(principal.scopes or ()),
        session_id=principal.session_id,
        api_key_id=principal.api_key_id,
        expire_time=seconds(principal.expire_time) if principal.expire_time else None,
    )


def feed_response(item: FeedItem) -> auth_pb2.WatchRevocationsResponse:
    """An item of the feed of revocations."""
    if isinstance(item, Heartbeat):
        return auth_pb2.WatchRevocationsResponse(heartbeat=auth_pb2.Heartbeat(send_time=seconds(time.time())))
    if isinstance(item, Synced):
        return auth_pb2.WatchRevocationsResponse(synced=auth_pb2.Synced(revocation_id=str(item.position)))
    return auth_pb2.WatchRevocationsResponse(revocation=_revocation(item))


def _revocation(entry: Revocation) -> auth_pb2.Revocation:
    return auth_pb2.Revocation(
        revocation_id=str(entry.position),
        kind=_KINDS[entry.kind],
        subject_id=entry.subject_id,
        revoke_time=seconds(entry.revoke_time),
        expire_time=seconds(entry.expire_time),
    )
