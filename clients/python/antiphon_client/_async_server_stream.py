"""What a server streams, read asynchronously across broken connections. `_server_stream.py` is its mirror."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Generic, Self

import grpc
import grpc.aio

from antiphon_client._async import Transport, cancelling
from antiphon_client._reading import Item, Reader
from antiphon_client._record import OnReconnect, Reconnect
from antiphon_client._retry import RENEWS, Attempts, Deadline
from antiphon_client._status import no_message
from antiphon_client.errors import AntiphonError, Closed


class AsyncServerStream(Generic[Item]):
    """What a server streams, over as many connections as it takes.

    An asynchronous iterator and context manager. Closing it, or leaving the block, ends the watching. `close` may be called from
    another task; the iteration ends then.
    """

    def __init__(
        self,
        transport: Transport,
        reader: Reader[Item],
        timeout: float | None,
        on_reconnect: OnReconnect | None = None,
    ) -> None:
        self._reads = reader
        self._transport = transport
        self._deadline = Deadline(timeout)
        self._attempts = Attempts(transport.retries, self._deadline, repeatable=True, stream=True)
        self._on_reconnect = on_reconnect
        self._call: Any = None
        self._token = ""
        self._rejected = ""
        self._closed = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while not (self._closed.is_set() or self._reads.ended):
            try:
                item = await self._read()
            except AntiphonError as failure:
                await self._recover(failure)
            except asyncio.CancelledError:
                # A watching that was closed from another task ends; a caller that was cancelled is.
                if not self._closed.is_set() or cancelling():
                    raise
            else:
                if item is not None:
                    return item
        if not self._closed.is_set():
            await self._drain()
        await self.close()
        raise StopAsyncIteration

    async def _read(self) -> Item | None:
        if self._call is None:
            request = self._reads.next_call()
            self._token = await self._transport.token(request, self._rejected, self._deadline)
            self._call = self._transport.open(request, self._token, self._deadline.remaining())
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                if response is None:
                    raise no_message()
                item = self._reads.take(response)
                if item is not None:
                    self._attempts.progressed()
                    self._rejected = ""
                    return item
        except grpc.RpcError as error:
            raise self._transport.failure(error) from error
        except asyncio.CancelledError:
            if self._closed.is_set() or cancelling() or not self._transport.closed:
                raise
            raise Closed("the client is closed") from None
        self._reads.cut_short()
        return None

    async def _recover(self, failure: AntiphonError) -> None:
        if self._closed.is_set():
            return
        self._drop()
        if self._reads.give_up(failure):
            self._closed.set()
            raise failure
        if (
            failure.reason in RENEWS
            and self._token
            and not self._rejected
            and await self._transport.login.renewable()
        ):
            self._rejected = self._token
            return
        try:
            pause = self._attempts.after(failure)
        except AntiphonError:
            self._closed.set()
            raise
        if self._on_reconnect is not None:
            self._on_reconnect(Reconnect(failure, self._attempts.failed, pause))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), pause)

    async def _drain(self) -> None:
        # Nothing follows the last item but the status; reading it lets the call end well rather than cancelled.
        if self._call is not None:
            with contextlib.suppress(grpc.RpcError):
                await self._call.read()

    def _drop(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    async def close(self) -> None:
        """Ends the watching."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
