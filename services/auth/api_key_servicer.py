"""ApiKeyService over its use cases: map, call, map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from antiphon.auth.v1 import api_key_pb2, api_key_pb2_grpc

from services.auth.mapping.api_keys import api_key_message, expiry_of, grace_of
from services.auth.mapping.fields import origin_of, timestamp
from services.auth.usecases.api_keys import CreateApiKey, GetApiKey, ListApiKeys, RevokeApiKey, RotateApiKey
from services.kernel.request import current


@dataclass(frozen=True, slots=True)
class KeyUseCases:
    """What ApiKeyService can do."""

    create: CreateApiKey
    list: ListApiKeys
    get: GetApiKey
    rotate: RotateApiKey
    revoke: RevokeApiKey


class ApiKeyServicer(api_key_pb2_grpc.ApiKeyServiceServicer):
    """antiphon.auth.v1.ApiKeyService; the contract says what each RPC does."""

    def __init__(self, use: KeyUseCases) -> None:
        self._use = use

    async def CreateApiKey(
        self, request: api_key_pb2.CreateApiKeyRequest, context: Any
    ) -> api_key_pb2.CreateApiKeyResponse:
        call = current()
        key, secret = await self._use.create(
            call.principal,
            request.display_name,
            request.scopes,
            expiry_of(request),
            request.request_id,
            origin_of(call),
        )
        return api_key_pb2.CreateApiKeyResponse(api_key=api_key_message(key), secret=secret)

    async def ListApiKeys(
        self, request: api_key_pb2.ListApiKeysRequest, context: Any
    ) -> api_key_pb2.ListApiKeysResponse:
        page, following = await self._use.list(
            current().principal, request.user_id, request.page_size, request.page_token, request.skip
        )
        found = [api_key_message(key) for key in page.items]
        return api_key_pb2.ListApiKeysResponse(api_keys=found, next_page_token=following)

    async def GetApiKey(
        self, request: api_key_pb2.GetApiKeyRequest, context: Any
    ) -> api_key_pb2.GetApiKeyResponse:
        key = await self._use.get(current().principal, request.api_key_id, request.user_id)
        return api_key_pb2.GetApiKeyResponse(api_key=api_key_message(key))

    async def RotateApiKey(
        self, request: api_key_pb2.RotateApiKeyRequest, context: Any
    ) -> api_key_pb2.RotateApiKeyResponse:
        call = current()
        rotated, secret = await self._use.rotate(
            call.principal, request.api_key_id, grace_of(request), request.request_id, origin_of(call)
        )
        return api_key_pb2.RotateApiKeyResponse(
            api_key=api_key_message(rotated.key),
            secret=secret,
            old_secret_expire_time=timestamp(rotated.old_expire_time),
        )

    async def RevokeApiKey(
        self, request: api_key_pb2.RevokeApiKeyRequest, context: Any
    ) -> api_key_pb2.RevokeApiKeyResponse:
        call = current()
        await self._use.revoke(call.principal, request.api_key_id, request.user_id, origin_of(call))
        return api_key_pb2.RevokeApiKeyResponse()
