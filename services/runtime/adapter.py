"""The one place that knows the four shapes of RPC: makes gRPC handlers out of methods and the interceptors around them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from services.kernel.errors import Unimplemented
from services.kernel.request import Request, current
from services.runtime.call import Call, Interceptor, Method, Proceed
from services.runtime.policy import OPEN


async def _unknown(messages: Any, context: Any) -> None:
    path = current().method
    raise Unimplemented(f"This server has no RPC {path}.", metadata={"method": path})


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
        self._unknown = bound(chain, UNKNOWN)
        self._handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]] = {
            method.path: handler_of(method, bound(chain, method)) for method in methods
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        path = handler_call_details.method
        return self._handlers.get(path) or handler_of(UNKNOWN, self._unknown, path)


def bound(chain: Sequence[Interceptor], method: Method) -> Proceed:
    """The method's whole way: the interceptors, outermost first, around its servicer."""
    proceed = servicer_call(method)
    for interceptor in reversed(chain):
        proceed = interceptor.bind(method, proceed)
    return proceed


def handler_of(method: Method, proceed: Proceed, path: str = "") -> grpc.RpcMethodHandler[Any, Any]:
    """gRPC's handler of one method. Requests come in as bytes: their decoding belongs to the interceptors."""
    path = path or method.path

    async def serve(message: Any, context: Any) -> Any:
        call = Call(context, message, Request("", path))
        response = await proceed(call)
        if call.code is not grpc.StatusCode.OK:
            await finish(call)
        return response

    serialize = method.response_class.SerializeToString
    if method.request_streaming:
        if method.response_streaming:
            return grpc.stream_stream_rpc_method_handler(serve, None, serialize)
        return grpc.stream_unary_rpc_method_handler(serve, None, serialize)
    if method.response_streaming:
        return grpc.unary_stream_rpc_method_handler(serve, None, serialize)
    return grpc.unary_unary_rpc_method_handler(serve, None, serialize)


async def finish(call: Call) -> None:
    """End a call that failed with its status. Never returns: gRPC unwinds by an exception of its own."""
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
                await write(response)
                call.sent += 1

    return stream


def _written(behavior: Any) -> Proceed:
    async def stream(call: Call) -> None:
        await behavior(call.message, call.context)

    return stream
