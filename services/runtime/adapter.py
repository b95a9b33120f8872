"""The one place that knows the four shapes of RPC: makes gRPC handlers out of methods and the interceptors around them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast

import grpc
from google.protobuf.empty_pb2 import Empty

from services.kernel.errors import Unimplemented
from services.kernel.request import Request, current
from services.runtime.call import Call, Interceptor, Method, Proceed
from services.runtime.policy import OPEN


async def _unknown(messages: Any, context: Any) -> None:
    path = current().method
    raise Unimplemented(f"This server has no RPC {path}.", metadata={"method": path})


OK = grpc.StatusCode.OK

UNKNOWN = Method(
    path="(unknown)",
    policy=OPEN,
    request_class=Empty,
    response_class=Empty,
    # Streams in both directions accept whatever a caller sends.
    request_streaming=True,
    response_streaming=True,
    behavior=_unknown,
)
"""What answers to an RPC that the server does not have, so that even there the answer has its request id and details."""


class Handlers(grpc.GenericRpcHandler):
    """All methods that the server has, found by one look into a dictionary."""

    def __init__(self, methods: Sequence[Method], chain: Sequence[Interceptor]) -> None:
        self._unknown = incoming(UNKNOWN, bound(chain, UNKNOWN))
        self._incoming = {method.path: incoming(method, bound(chain, method)) for method in methods}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        path = handler_call_details.method
        handler = self._incoming.get(path, self._unknown)(path, handler_call_details.invocation_metadata)
        return cast("grpc.RpcMethodHandler[Any, Any]", handler)


def bound(chain: Sequence[Interceptor], method: Method) -> Proceed:
    """The method's whole way: the interceptors, outermost first, around its servicer."""
    proceed = servicer_call(method)
    for interceptor in reversed(chain):
        proceed = interceptor.bind(method, proceed)
    return proceed


class _Incoming:
    """One call of a method, before it is served: a grpc.RpcMethodHandler in all but its base class, whose instances would be heavier."""

    __slots__ = ("metadata", "path")

    request_deserializer = None
    unary_unary = None
    unary_stream = None
    stream_unary = None
    stream_stream = None

    def __init__(self, path: str, metadata: Any) -> None:
        self.path = path
        self.metadata = metadata


def incoming(method: Method, proceed: Proceed) -> type[_Incoming]:
    """What gRPC gets for each call of a method: a handler that has the call's path and metadata with it.

    gRPC has just built the metadata when it asks for a handler, and would build it once more if the call asked for it. Requests
    come in as bytes: their decoding belongs to the interceptors.
    """

    async def serve(self: _Incoming, message: Any, context: Any) -> Any:
        call = Call(context, message, self.metadata, Request("", self.path))
        response = await proceed(call)
        if call.code is not OK:
            await finish(call)
        return response

    shape = f"{'stream' if method.request_streaming else 'unary'}_{'stream' if method.response_streaming else 'unary'}"
    members = {
        "__slots__": (),
        "__doc__": method.path,
        "request_streaming": method.request_streaming,
        "response_streaming": method.response_streaming,
        "response_serializer": staticmethod(method.response_class.SerializeToString),
        shape: serve,
    }
    return type("Incoming", (_Incoming,), members)


async def finish(call: Call) -> None:
    """End a call that failed with its status. gRPC unwinds by an exception of its own, unless there is nobody to be told any more."""
    # The caller's connection may break at this very moment; gRPC would log that with a traceback, as if it were a defect.
    with contextlib.suppress(grpc.aio.InternalError):
        await call.context.abort(call.code, call.details, call.trailing)


def servicer_call(method: Method) -> Proceed:
    """The innermost step: the servicer's method, whatever its shape."""
    behavior = method.behavior
    if behavior is None:

        async def missing(call: Call) -> Any:
            raise AssertionError(f"{method.path} is not built and was not refused")

        return missing
    if method.response_streaming:
        if inspect.isasyncgenfunction(behavior):
            return _generated(method, behavior)
        return _written(behavior)
    response_class = method.response_class

    async def answer(call: Call) -> Any:
        response = await behavior(call.message, call.context)
        if type(response) is not response_class:
            raise TypeError(f"{method.path} answered with {type(response).__name__}")
        call.sent = 1
        return response

    return answer


def _generated(method: Method, behavior: Any) -> Proceed:
    response_class = method.response_class

    async def stream(call: Call) -> None:
        write = call.context.write
        # Closed here and not by the garbage collector, so that its `finally` runs before the call ends.
        async with aclosing(behavior(call.message, call.context)) as responses:
            async for response in responses:
                if type(response) is not response_class:
                    raise TypeError(f"{method.path} streamed {type(response).__name__}")
                try:
                    await write(response)
                except grpc.aio.InternalError:
                    # The caller's connection broke at this very moment, and gRPC does not call that a cancellation yet.
                    raise asyncio.CancelledError from None
                call.sent += 1

    return stream


def _written(behavior: Any) -> Proceed:
    async def stream(call: Call) -> None:
        await behavior(call.message, call.context)

    return stream
