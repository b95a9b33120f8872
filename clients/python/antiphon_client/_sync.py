"""The synchronous machinery: sending and renewing tokens. `_async.py` mirrors it line by line."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
from antiphon.auth.v1 import auth_pb2

from antiphon_client import _calls
from antiphon_client._options import Address, Keepalive, Retries
from antiphon_client._retry import RENEWS, TRANSIENT, Attempts, Deadline
from antiphon_client._status import error_of, no_message
from antiphon_client._tokens import (
    REFRESH_PAUSE,
    REFRESH_TIMEOUT,
    FailedRenewal,
    Tokens,
    TokenStore,
    logged_out,
    metadata,
)
from antiphon_client.errors import AntiphonError, Closed, DeadlineExceeded, Unauthenticated


class Transport:
    """A channel, and the one retry loop above it."""

    def __init__(self, address: Address, keepalive: Keepalive, retries: Retries, store: TokenStore) -> None:
        credentials = address.credentials()
        options = address.channel_options(keepalive)
        self._channel = (
            grpc.insecure_channel(address.target, options)
            if credentials is None
            else grpc.secure_channel(address.target, credentials, options)
        )
        self._closed = False
        self.target = address.target
        self.retries = retries
        self.login = LoginSession(self, store)

    def unary(self, call: _calls.Call[_calls.Req, _calls.Res], timeout: float | None) -> _calls.Res:
        """The response, after as many tries as are safe. Raises AntiphonError."""
        deadline = Deadline(timeout)
        attempts = Attempts(self.retries, deadline, repeatable=call.repeatable, final=call.method.final)
        rejected = ""
        while True:
            token = ""
            try:
                token = self.token(call, rejected, deadline)
                return self.once(call, token, deadline.remaining())
            except AntiphonError as failure:
                if failure.reason in RENEWS and token and not rejected and self.login.renewable():
                    rejected = token
                    continue
                if call.method.removes and attempts.removed(failure):
                    return call.method.response()
                pause = attempts.after(failure)
            time.sleep(pause)

    def once(
        self, call: _calls.Call[_calls.Req, _calls.Res], token: str, timeout: float | None
    ) -> _calls.Res:
        """The response of one try."""
        invoke = self._channel.unary_unary(
            call.method.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.method.response.FromString,
        )
        with self._failures():
            response: _calls.Res | None = invoke(
                call.request, timeout=timeout, metadata=metadata(token, call.request_id)
            )
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
        with self._failures():
            return invoke(call.request, timeout=timeout, metadata=metadata(token, call.request_id))

    def failure(self, error: grpc.RpcError) -> AntiphonError:
        """What a call's failure means."""
        return Closed("the client is closed") if self._closed else error_of(error, self.target)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self.failure(error) from error
        except ValueError:
            # What gRPC says of a channel that is closed already.
            if not self._closed:
                raise
            raise Closed("the client is closed") from None

    def token(self, call: _calls.Call[Any, Any], rejected: str, deadline: Deadline) -> str:
        """The access token to send, which is none for an RPC that looks at none."""
        return self.login.token(rejected, deadline) if call.method.sends_credential else ""

    def close(self) -> None:
        """Ends the connection, and every call that is under way."""
        self._closed = True
        self._channel.close()


class LoginSession:
    """The tokens that calls are sent with, renewed by one caller at a time."""

    def __init__(self, transport: Transport, store: TokenStore) -> None:
        self._transport = transport
        self._store = store
        self._lock = threading.Lock()
        self._rests_until = 0.0
        self._failed: FailedRenewal | None = None
        self._known = False

    def token(self, rejected: str, deadline: Deadline) -> str:
        """An access token that is not `rejected`, renewed when that is due; empty for anonymous callers."""
        tokens = self._store.load()
        if tokens is None:
            if self._known:
                raise logged_out()
            return ""
        self._known = True
        return (tokens if tokens.usable(rejected) else self._renew(rejected, deadline)).access_token

    def renewable(self) -> bool:
        """Whether there is a refresh token."""
        tokens = self._store.load()
        return tokens is not None and bool(tokens.refresh_token)

    def refresh(self, timeout: float | None) -> Tokens:
        """New tokens, whether or not that was due."""
        deadline = Deadline(timeout)
        attempts = Attempts(self._transport.retries, deadline, repeatable=True)
        while True:
            try:
                return self._renew(None, deadline)
            except AntiphonError as failure:
                pause = attempts.after(failure)
            time.sleep(pause)

    def _renew(self, rejected: str | None, deadline: Deadline) -> Tokens:
        # One try: whoever needs the tokens has a retry loop already. With `rejected` None they are renewed in any case.
        asked = time.monotonic()
        with self._exclusive(deadline):
            tokens = self._store.load()
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
                response = self._transport.once(request, "", deadline.within(REFRESH_TIMEOUT))
            except AntiphonError as failure:
                if isinstance(failure, TRANSIENT):
                    self._rests_until = time.monotonic() + (failure.retry_after or REFRESH_PAUSE)
                    if rejected is not None and tokens.still_good(rejected):
                        return tokens
                # The time that ran out may have been this caller's alone.
                if not isinstance(failure, DeadlineExceeded):
                    self._failed = FailedRenewal(failure, tokens.refresh_token)
                raise
            renewed = Tokens.of(response)
            self._store.save(renewed)
            return renewed

    def begin(self, request: auth_pb2.LoginRequest, deadline: Deadline) -> auth_pb2.LoginResponse:
        """Logs in, and keeps the tokens. Whoever has to wait for another one's renewal does so before, not between the two."""
        with self._exclusive(deadline):
            response: auth_pb2.LoginResponse = self._transport.unary(
                _calls.call(_calls.LOGIN, request), deadline.remaining()
            )
            self._store.save(Tokens.of(response))
            return response

    def end(self, timeout: float | None) -> None:
        """Revokes the login session, then forgets its tokens."""
        deadline = Deadline(timeout)
        with self._exclusive(deadline):
            tokens = self._store.load()
            if tokens is not None and tokens.refresh_token:
                request = auth_pb2.LogoutRequest(refresh_token=tokens.refresh_token)
                self._transport.unary(_calls.call(_calls.LOGOUT, request), deadline.remaining())
            self._store.save(None)
            self._known = False

    @contextlib.contextmanager
    def _exclusive(self, deadline: Deadline) -> Iterator[None]:
        # Whoever is at it may take as long as their own call has; this one ends in its own time.
        remaining = deadline.remaining()
        if not self._lock.acquire(timeout=-1 if remaining is None else min(remaining, threading.TIMEOUT_MAX)):
            raise self._late()
        with contextlib.ExitStack() as held:
            held.callback(self._lock.release)
            try:
                held.enter_context(self._store.exclusive(deadline.remaining()))
            except TimeoutError:
                raise self._late() from None
            yield

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"the tokens for {self._transport.target} were being changed until time ran out"
        )
