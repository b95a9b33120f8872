"""What a server streams, read across broken connections. `_async_server_stream.py` is its mirror."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Generic, Self

import grpc

from antiphon_client._reading import Item, Reader
from antiphon_client._record import OnReconnect, Reconnect
from antiphon_client._retry import RENEWS, Attempts, Deadline
from antiphon_client._sync import Transport
from antiphon_client.errors import AntiphonError


class ServerStream(Generic[Item]):
    """What a server streams, over as many connections as it takes.

    An iterator and a context manager. Closing it, or leaving the block, ends the watching. `close` may be called from another thread;
    the iteration ends then.
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
        self._closed = threading.Event()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        while not (self._closed.is_set() or self._reads.ended):
            try:
                item = self._read()
            except AntiphonError as failure:
                self._recover(failure)
            else:
                if item is not None:
                    return item
        if not self._closed.is_set():
            self._drain()
        self.close()
        raise StopIteration

    def _read(self) -> Item | None:
        if self._call is None:
            request = self._reads.next_call()
            self._token = self._transport.token(request, self._rejected, self._deadline)
            self._call = self._transport.open(request, self._token, self._deadline.remaining())
        try:
            for response in self._call:
                item = self._reads.take(response)
                if item is not None:
                    self._attempts.progressed()
                    self._rejected = ""
                    return item
        except grpc.RpcError as error:
            raise self._transport.failure(error) from error
        self._reads.cut_short()
        return None

    def _recover(self, failure: AntiphonError) -> None:
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
            and self._transport.login.renewable()
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
        self._closed.wait(pause)

    def _drain(self) -> None:
        # Nothing follows the last item but the status; reading it lets the call end well rather than cancelled.
        if self._call is not None:
            with contextlib.suppress(grpc.RpcError):
                next(self._call, None)

    def _drop(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def close(self) -> None:
        """Ends the watching."""
        self._closed.set()
        call = self._call
        if call is not None:
            call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
