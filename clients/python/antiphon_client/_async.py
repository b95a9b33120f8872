"""The asynchronous machinery: sending and renewing tokens. `_sync.py` is its mirror."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import grpc
import grpc.aio
from antiphon.auth.v1 import auth_pb2

from antiphon_client import _calls
from antiphon_client._options import Address, Keepalive, Retries
from antiphon_client._retry import RENEWS, TRANSIENT, Attempts, Deadline
from antiphon_client._status import error_of, no_message
from antiphon_client._tokens import (
    CLOSE_TIMEOUT,
    REFRESH_PAUSE,
    REFRESH_TIMEOUT,
    FailedRenewal,
    MemoryTokenStore,
    Tokens,
    TokenStore,
    logged_out,
    metadata,
)
from antiphon_client.errors import AntiphonError, Closed, DeadlineExceeded, Unauthenticated

T = TypeVar("T")


class Transport:
    """A channel, and the one retry loop above it. The channel is opened by the first call, inside the loop that uses it."""

    def __init__(self, address: Address, keepalive: Keepalive, retries: Retries, store: TokenStore) -> None:
        self._address = address
        self._keepalive = keepalive
        self._opened: grpc.aio.Channel | None = None
        self.closed = False
        self.target = address.target
        self.retries = retries
        self.login = LoginSession(self, store)

    @property
    def _channel(self) -> grpc.aio.Channel:
        if self.closed:
            raise Closed("the client is closed")
        if self._opened is None:
            credentials = self._address.credentials()
            options = self._address.channel_options(self._keepalive)
            self._opened = (
                grpc.aio.insecure_channel(self.target, options)
                if credentials is None
                else grpc.aio.secure_channel(self.target, credentials, options)
            )
        return self._opened

    async def unary(self, call: _calls.Call[_calls.Req, _calls.Res], timeout: float | None) -> _calls.Res:
        """The response, after as many tries as are safe. Raises AntiphonError."""
        deadline = Deadline(timeout)
        attempts = Attempts(self.retries, deadline, repeatable=call.repeatable, final=call.method.final)
        rejected = ""
        while True:
            token = ""
            try:
                token = await self.token(call, rejected, deadline)
                return await self.once(call, token, deadline.remaining())
            except AntiphonError as failure:
                if failure.reason in RENEWS and token and not rejected and await self.login.renewable():
                    rejected = token
                    continue
                if call.method.removes and attempts.removed(failure):
                    return call.method.response()
                pause = attempts.after(failure)
            await asyncio.sleep(pause)

    async def once(
        self, call: _calls.Call[_calls.Req, _calls.Res], token: str, timeout: float | None
    ) -> _calls.Res:
        """The response of one try."""
        invoke = self._channel.unary_unary(
            call.method.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.method.response.FromString,
        )
        try:
            response: _calls.Res | None = await invoke(
                call.request, timeout=timeout, metadata=metadata(token, call.request_id)
            )
        except grpc.RpcError as error:
            raise self.failure(error) from error
        except asyncio.CancelledError:
            # Closing cancels the calls that are under way; a caller that was cancelled is.
            if not self.closed or cancelling():
                raise
            raise Closed("the client is closed") from None
        if response is None:
            raise no_message()
        return response

    def open(self, call: _calls.Call[Any, Any], token: str, timeout: float | None) -> Any:
        """Begins a stream."""
        invoke = self._channel.unary_stream(
            call.method.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.method.response.FromString,
        )
        return invoke(call.request, timeout=timeout, metadata=metadata(token, call.request_id))

    def failure(self, error: grpc.RpcError) -> AntiphonError:
        """What a call's failure means."""
        return Closed("the client is closed") if self.closed else error_of(error, self.target)

    async def token(self, call: _calls.Call[Any, Any], rejected: str, deadline: Deadline) -> str:
        """The access token to send, which is none for an RPC that looks at none."""
        return await self.login.token(rejected, deadline) if call.method.sends_credential else ""

    async def close(self) -> None:
        """Ends the connection, and every call that is under way; tokens that are being changed are waited for, for a second."""
        await self.login.settled()
        self.closed = True
        if self._opened is not None:
            await self._opened.close()
        await self.login.called_off()


class LoginSession:
    """The tokens that calls are sent with, renewed by one task whoever waits for them."""

    def __init__(self, transport: Transport, store: TokenStore) -> None:
        self._transport = transport
        self._store = store
        self._blocking = not isinstance(store, MemoryTokenStore)
        self._lock = asyncio.Lock()
        self._renewing: asyncio.Task[Tokens] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._rests_until = 0.0
        self._failed: FailedRenewal | None = None
        self._known = False

    async def token(self, rejected: str, deadline: Deadline) -> str:
        """An access token that is not `rejected`, renewed when that is due; empty for anonymous callers."""
        tokens = await self._off_loop(self._store.load)
        if tokens is None:
            if self._known:
                raise logged_out()
            return ""
        self._known = True
        if not tokens.usable(rejected):
            if self._renewing is None or self._renewing.done():
                self._renewing = self._task(self._renew(rejected))
            tokens = await self._wait(self._renewing, deadline.remaining())
        return tokens.access_token

    async def renewable(self) -> bool:
        """Whether there is a refresh token."""
        tokens = await self._off_loop(self._store.load)
        return tokens is not None and bool(tokens.refresh_token)

    async def refresh(self, timeout: float | None) -> Tokens:
        """New tokens, whether or not that was due."""
        deadline = Deadline(timeout)
        attempts = Attempts(self._transport.retries, deadline, repeatable=True)
        while True:
            try:
                return await self._wait(self._task(self._renew(None)), deadline.remaining())
            except AntiphonError as failure:
                pause = attempts.after(failure)
            await asyncio.sleep(pause)

    async def _renew(self, rejected: str | None) -> Tokens:
        # One try: whoever needs the tokens has a retry loop already. With `rejected` None they are renewed in any case.
        asked = time.monotonic()
        async with self._exclusive(Deadline(None)):
            tokens = await self._off_loop(self._store.load)
            if tokens is None or not tokens.refresh_token:
                raise Unauthenticated("there is no refresh token: log in", reason="CREDENTIAL_MISSING")
            if rejected is not None and tokens.usable(rejected):
                return tokens
            # Whoever could not renew a moment ago is not asked again by every call while the token lives.
            if rejected is not None and tokens.still_good(rejected) and time.monotonic() < self._rests_until:
                return tokens
            if self._failed is not None:
                self._failed.tell(tokens.refresh_token, asked)
            request = _calls.call(
                _calls.REFRESH, auth_pb2.RefreshTokenRequest(refresh_token=tokens.refresh_token)
            )
            try:
                response = await self._transport.once(request, "", REFRESH_TIMEOUT)
            except AntiphonError as failure:
                if isinstance(failure, TRANSIENT):
                    self._rests_until = time.monotonic() + (failure.retry_after or REFRESH_PAUSE)
                    if rejected is not None and tokens.still_good(rejected):
                        return tokens
                self._failed = FailedRenewal(failure, tokens.refresh_token)
                raise
            renewed = Tokens.of(response)
            await self._off_loop(self._store.save, renewed)
            return renewed

    async def begin(self, request: auth_pb2.LoginRequest, deadline: Deadline) -> auth_pb2.LoginResponse:
        """Logs in, and keeps the tokens. Whoever has to wait for another one's renewal does so before, not between the two."""

        async def log_in() -> auth_pb2.LoginResponse:
            async with self._exclusive(deadline):
                response: auth_pb2.LoginResponse = await self._transport.unary(
                    _calls.call(_calls.LOGIN, request), deadline.remaining()
                )
                await self._off_loop(self._store.save, Tokens.of(response))
                return response

        return await self._wait(self._task(log_in()), None)

    async def end(self, timeout: float | None) -> None:
        """Revokes the login session, then forgets its tokens."""
        deadline = Deadline(timeout)

        async def revoke() -> None:
            async with self._exclusive(deadline):
                tokens = await self._off_loop(self._store.load)
                if tokens is not None and tokens.refresh_token:
                    request = auth_pb2.LogoutRequest(refresh_token=tokens.refresh_token)
                    await self._transport.unary(_calls.call(_calls.LOGOUT, request), deadline.remaining())
                await self._off_loop(self._store.save, None)
                self._known = False

        await self._wait(self._task(revoke()), None)

    async def settled(self) -> None:
        """Returns when nothing is being changed any more, or that takes too long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT)

    async def called_off(self) -> None:
        """Ends what is still being changed."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @contextlib.asynccontextmanager
    async def _exclusive(self, deadline: Deadline) -> AsyncIterator[None]:
        # Whoever is at it may take as long as their own call has; this one ends in its own time.
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(deadline.remaining()):
                    await stack.enter_async_context(self._lock)
                held = self._store.exclusive(deadline.remaining())
                await self._off_loop(held.__enter__)
            except TimeoutError:
                raise self._late() from None
            stack.push_async_callback(self._off_loop, held.__exit__, None, None, None)
            yield

    def _task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # A task of its own: a caller that is cancelled must not lose tokens that the server has rotated already.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def _wait(self, task: asyncio.Task[T], timeout: float | None) -> T:
        try:
            return await asyncio.wait_for(asyncio.shield(task), timeout)
        except TimeoutError:
            raise self._late() from None
        except asyncio.CancelledError:
            if not self._transport.closed or cancelling():
                raise
            raise Closed("the client is closed") from None

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the tokens for {self._transport.target} were being changed until time ran out"
        )

    async def _off_loop(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.to_thread(function, *args) if self._blocking else function(*args)


def cancelling() -> bool:
    """Whether the task that asks is being cancelled itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
