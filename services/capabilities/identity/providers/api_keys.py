"""API keys, verified by Auth in another process."""

from __future__ import annotations

import grpc
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from services.capabilities.identity.errors import ApiKeyInvalid
from services.capabilities.identity.mapping import key_owner
from services.capabilities.identity.providers.refused import Refusals
from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.errors import Unavailable
from services.kernel.principal import Principal

LOOKUP_SECONDS = 2.0


class ApiKeysByRpc:
    """`ports.ApiKeyVerifier` by VerifyToken."""

    def __init__(
        self,
        stub: auth_pb2_grpc.AuthServiceAsyncStub,
        tokens: ServiceTokens,
        *,
        lookup_seconds: float = LOOKUP_SECONDS,
    ) -> None:
        self._stub = stub
        self._tokens = tokens
        self._lookup_seconds = lookup_seconds
        self._refusals = Refusals()

    async def verify(self, key: str) -> Principal:
        """See `ports.ApiKeyVerifier`."""
        request = auth_pb2.VerifyTokenRequest(token=key)
        try:
            response = await self._stub.VerifyToken(
                request, metadata=self._tokens.metadata(), timeout=self._lookup_seconds
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                # No key that Auth ever made.
                raise ApiKeyInvalid from error
            self._refusals.look_at(error)
            raise Unavailable(
                "Whose API key this is can't be told now: Auth can't be asked; try again."
            ) from error
        return key_owner(response)
