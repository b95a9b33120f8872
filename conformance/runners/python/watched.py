"""A channel of the client, watched: how often a call was tried, and what came beside its messages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc


@dataclass(slots=True)
class Watch:
    """What was seen of one op. `metadata` goes along with its calls, in the place of the client's own."""

    path: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    tries: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    call: Any = None

    async def end(self) -> None:
        """Looks at the last call, if that has ended."""
        if self.call is not None and self.call.done():
            self.headers = await _first_values(self.call.initial_metadata())
            self.trailers = await _first_values(self.call.trailing_metadata())


watching: ContextVar[Watch] = ContextVar("watching")
"""The watch of the op that a task, or a thread of its, is at."""


class WatchedChannel:
    """Stands before a channel of either face of the client, and begins calls as that does."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def unary_unary(self, path: str, **serializers: Any) -> Callable[..., Any]:
        """Watches the calls of the op's own method: renewals of tokens pass here, too, and are no tries of it."""
        invoke = self._channel.unary_unary(path, **serializers)

        def begin(request: Any, *, timeout: float | None, metadata: Iterable[tuple[str, str]]) -> Any:
            watch = watching.get(None)
            if watch is None or watch.path != path:
                return invoke(request, timeout=timeout, metadata=metadata)
            given = _tried(watch, metadata)
            if not hasattr(invoke, "with_call"):
                watch.call = invoke(request, timeout=timeout, metadata=given)
                return watch.call
            try:
                response, watch.call = invoke.with_call(request, timeout=timeout, metadata=given)
            except grpc.RpcError as failed:
                # It is its own call.
                watch.call = failed
                raise
            return response

        return begin

    def unary_stream(self, path: str, **serializers: Any) -> Callable[..., Any]:
        """Watches every stream: an answer that is resumed has more than one method."""
        invoke = self._channel.unary_stream(path, **serializers)

        def begin(request: Any, *, timeout: float | None, metadata: Iterable[tuple[str, str]]) -> Any:
            watch = watching.get(None)
            if watch is None:
                return invoke(request, timeout=timeout, metadata=metadata)
            watch.call = invoke(request, timeout=timeout, metadata=_tried(watch, metadata))
            return watch.call

        return begin

    def close(self) -> Any:
        """Closes the channel."""
        return self._channel.close()


def _tried(watch: Watch, metadata: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    watch.tries += 1
    return tuple({**dict(metadata), **watch.metadata}.items())


async def _first_values(told: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in (await told if inspect.isawaitable(told) else told) or ():
        if isinstance(value, str):
            found.setdefault(key, value)
    return found
