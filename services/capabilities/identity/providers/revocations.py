"""The feed of revocations from Auth in another process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from services.capabilities.identity.mapping import feed_item
from services.capabilities.identity.providers.refused import Refusals
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.identity.revocations import SILENT_SECONDS, FeedItem
from services.kernel.errors import Unavailable

_log = logging.getLogger(__name__)


class RevocationsByRpc:
    """`ports.RevocationSource` by WatchRevocations. A stream that says nothing for `silent_seconds` counts as lost."""

    def __init__(
        self,
        stub: auth_pb2_grpc.AuthServiceAsyncStub,
        tokens: ServiceTokens,
        *,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._stub = stub
        self._tokens = tokens
        self._silent_seconds = silent_seconds
        self._refusals = Refusals()

    async def watch(self, after: int | None) -> AsyncIterator[FeedItem]:
        """See `ports.RevocationSource`."""
        request = auth_pb2.WatchRevocationsRequest(after_revocation_id="" if after is None else str(after))
        call = self._stub.WatchRevocations(request, metadata=self._tokens.metadata())
        try:
            while True:
                try:
                    async with asyncio.timeout(self._silent_seconds):
                        response = await call.read()
                except TimeoutError:
                    raise Unavailable(f"Auth has said nothing for {self._silent_seconds:g} s.") from None
                except grpc.aio.AioRpcError as error:
                    self._refusals.look_at(error)
                    raise Unavailable(f"Auth can't be reached: {error.code().name}.") from error
                if not isinstance(response, auth_pb2.WatchRevocationsResponse):
                    raise Unavailable("Auth has ended the feed of revocations.")
                item = feed_item(response)
                if item is None:
                    _log.error("Auth tells of a kind of revocation that this version does not know")
                else:
                    yield item
        finally:
            call.cancel()
