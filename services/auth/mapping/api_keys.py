"""API keys."""

from __future__ import annotations

from datetime import datetime, timedelta

from antiphon.auth.v1 import api_key_pb2

from services.auth.mapping.fields import timestamp
from services.auth.model.api_keys import ApiKey
from services.runtime.times import moment


def api_key_message(key: ApiKey) -> api_key_pb2.ApiKey:
    """A key as its owner sees it."""
    return api_key_pb2.ApiKey(
        api_key_id=key.api_key_id,
        user_id=key.user_id,
        display_name=key.display_name,
        public_id=key.public_id,
        scopes=key.scopes,
        create_time=timestamp(key.create_time),
        expire_time=timestamp(key.expire_time),
        last_use_time=timestamp(key.last_use_time),
        revoke_time=timestamp(key.revoke_time),
    )


def expiry_of(request: api_key_pb2.CreateApiKeyRequest) -> datetime | None:
    """When the new key shall expire; None for never. Raises InvalidArgument for what is no time."""
    return moment("expire_time", request.expire_time) if request.HasField("expire_time") else None


def grace_of(request: api_key_pb2.RotateApiKeyRequest) -> timedelta | None:
    """How long the old secret shall be accepted; None when the caller leaves that open."""
    return request.grace.ToTimedelta() if request.HasField("grace") else None
