"""Somebody who makes API keys over the served suite."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from antiphon.auth.v1 import api_key_pb2, auth_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fakes.served_suite import Metadata, Served, bearer

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Owner:
    """Somebody with an account and a login session."""

    suite: Served
    user_id: str
    metadata: Metadata

    async def make(
        self, *scopes: str, by: Metadata | None = None, **more: Any
    ) -> api_key_pb2.CreateApiKeyResponse:
        request = api_key_pb2.CreateApiKeyRequest(
            display_name="laptop", scopes=scopes or ("chat.read",), **more
        )
        return await self.suite.api_keys.CreateApiKey(request, metadata=by or self.metadata)

    async def get(self, key: api_key_pb2.ApiKey) -> api_key_pb2.ApiKey:
        request = api_key_pb2.GetApiKeyRequest(api_key_id=key.api_key_id)
        return (await self.suite.api_keys.GetApiKey(request, metadata=self.metadata)).api_key

    async def rotate(self, key: api_key_pb2.ApiKey, **more: Any) -> api_key_pb2.RotateApiKeyResponse:
        request = api_key_pb2.RotateApiKeyRequest(api_key_id=key.api_key_id, **more)
        return await self.suite.api_keys.RotateApiKey(request, metadata=self.metadata)

    async def revoke(self, key: api_key_pb2.ApiKey) -> None:
        request = api_key_pb2.RevokeApiKeyRequest(api_key_id=key.api_key_id)
        await self.suite.api_keys.RevokeApiKey(request, metadata=self.metadata)


async def owner(suite: Served) -> Owner:
    """Somebody who has just registered."""
    email = f"{uuid.uuid4()}@example.com"
    made = await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
    login = await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=PASSWORD))
    return Owner(suite, made.user.user_id, bearer(login.access_token))


def in_(seconds: float) -> Timestamp:
    time_ = Timestamp()
    time_.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return time_


def seconds_of(time_: Timestamp) -> float:
    return time_.ToNanoseconds() / 1e9
