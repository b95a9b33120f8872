"""The client's transport, watched: how often it tried, and what came beside the messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc

from antiphon_client import _calls
from antiphon_client._async import Transport
from antiphon_client._tokens import metadata as own_metadata


@dataclass(slots=True)
class Watch:
    """What was seen of one op. `metadata` goes along with its calls."""

    path: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    tries: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    call: Any = None

    async def end(self) -> None:
        """Looks at the last call, which has ended."""
        if self.call is not None and self.call.done():
            self.headers = _first_values(await self.call.initial_metadata())
            self.trailers = _first_values(await self.call.trailing_metadata())


watching: ContextVar[Watch] = ContextVar("watching")


class WatchedTransport(Transport):
    """Sends as the client does; what a `Watch` adds to the metadata takes the place of the client's own."""

    async def once(
        self, call: _calls.Call[_calls.Req, _calls.Res], token: str, timeout: float | None
    ) -> _calls.Res:
        watch = watching.get(None)
        # Renewals of tokens pass here, too; they are no tries of the call.
        if watch is None or call.method.path != watch.path:
            return await super().once(call, token, timeout)
        watch.tries += 1
        invoke = self._channel.unary_unary(
            call.method.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.method.response.FromString,
        )
        made = invoke(call.request, timeout=timeout, metadata=_metadata(watch, call, token))
        watch.call = made
        try:
            response: _calls.Res = await made
        except grpc.RpcError as error:
            raise self.failure(error) from error
        finally:
            if made.done():
                await watch.end()
        return response

    def open(self, call: _calls.Call[Any, Any], token: str, timeout: float | None) -> Any:
        watch = watching.get(None)
        if watch is None:
            return super().open(call, token, timeout)
        watch.tries += 1
        invoke = self._channel.unary_stream(
            call.method.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.method.response.FromString,
        )
        watch.call = invoke(call.request, timeout=timeout, metadata=_metadata(watch, call, token))
        return watch.call


def _metadata(watch: Watch, call: _calls.Call[Any, Any], token: str) -> tuple[tuple[str, str], ...]:
    own = dict(own_metadata(token, call.request_id))
    return tuple({**own, **watch.metadata}.items())


def _first_values(pairs: Iterable[Any] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in pairs or ():
        if isinstance(value, str):
            found.setdefault(key, value)
    return found
