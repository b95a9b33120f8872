"""A call on its way through the interceptors, the same for all four shapes of RPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message

from services.kernel.errors import Code
from services.kernel.limits import Limit
from services.kernel.metering import CallMeter
from services.kernel.policy import Policy
from services.kernel.request import Request

STATUS = {code: next(status for status in grpc.StatusCode if status.value[0] == code.value) for code in Code}
"""gRPC's own names of the canonical codes."""


@dataclass(frozen=True, slots=True)
class Method:
    """An RPC that is served.

    `path` is `/antiphon.chat.v1.ChatService/StreamChat`. `behavior` is the servicer's method, None when it is not built yet. `limit` is
    the limit of its policy's class, None when there is none or it is off. `meter` is told of calls that made nothing, None when nobody is.
    `internal` methods (health, reflection) answer while the server stops, are not limited, and are logged at DEBUG only.
    """

    path: str
    policy: Policy
    request_class: type[Message]
    response_class: type[Message]
    request_streaming: bool
    response_streaming: bool
    behavior: Callable[[Any, Any], Any] | None
    internal: bool = False
    limit: Limit | None = None
    meter: CallMeter | None = None


class Call:
    """One call. `message` is what the caller sent: bytes first, a message after the decoding; for request streams an iterator of them.

    A call fails by `code`, `details` and `trailing` being set, which the outermost layer sends. `sent` and `received` count messages.
    """

    __slots__ = (
        "code",
        "context",
        "details",
        "message",
        "metadata",
        "received",
        "request",
        "sent",
        "trailing",
    )

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        message: Any,
        metadata: Sequence[tuple[str, Any]],
        request: Request,
    ) -> None:
        self.context = context
        self.message = message
        self.request = request
        self.metadata: Mapping[str, Any] = dict(metadata)
        if len(self.metadata) != len(metadata):
            self.metadata = combined(metadata)
        self.code: grpc.StatusCode = grpc.StatusCode.OK
        self.details = ""
        self.trailing: tuple[tuple[str, str | bytes], ...] = ()
        self.sent = 0
        self.received = 0


def combined(metadata: Iterable[tuple[str, Any]]) -> Mapping[str, Any]:
    """Metadata in which a key stands several times: its texts as one, as HTTP combines them (RFC 9110 §5.3), so that none is passed
    over. Two credentials are no credential then."""
    found: dict[str, Any] = {}
    for key, value in metadata:
        earlier = found.get(key)
        found[key] = f"{earlier}, {value}" if isinstance(earlier, str) and isinstance(value, str) else value
    return found


Proceed = Callable[[Call], Awaitable[Any]]
"""What remains of a call's way: answers with the response, or with None after the responses of a stream were sent."""


class Interceptor(Protocol):
    """A layer around every call."""

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        """The layer for one method, around what follows. Called once per method, so what does not vary is looked up here."""
        ...
