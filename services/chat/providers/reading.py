"""The reading of one answer of an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import aiohttp

from services.capabilities.upstream.errors import ProviderProtocol, ProviderUnavailable
from services.capabilities.upstream.refusals import said_in, words_of
from services.chat.model import Delta, FinishReason
from services.chat.ports import Done
from services.chat.providers import wire
from services.chat.providers.sse import EventSplitter
from services.kernel.errors import ServiceError

_EVENT_BYTES = 1024**2
_HEAD_BYTES = 16 * 1024


class Reading:
    """The events of a response, as groups of deltas: what arrives in one read is one group.

    `connected` says that the endpoint was reached, `began` that a token has come, `complete` that the model has said why it ended.
    """

    def __init__(self) -> None:
        self._splitter = EventSplitter(_EVENT_BYTES)
        self._deltas = wire.Deltas()
        self._head = b""
        self._events = 0
        self._heard = 0
        self._failure: ServiceError | None = None
        self._reason: FinishReason | None = None
        self._tokens: wire.Tokens | None = None
        self._over = False
        self.upstream_request_id = ""
        self.connected = False
        self.began = False

    @property
    def complete(self) -> bool:
        """Whether the answer is whole, even if nothing more should come."""
        return self._reason is not None and self._failure is None

    def heard(self) -> bool:
        """Whether events have come since this was last asked."""
        heard, self._heard = self._events > self._heard, self._events
        return heard

    async def groups(self, response: aiohttp.ClientResponse) -> AsyncIterator[Sequence[Delta]]:
        """Groups of deltas, empty ones among them. Raises ProviderProtocol and ProviderUnavailable, behind what came before."""
        async for block in response.content.iter_any():
            if not self._events and len(self._head) < _HEAD_BYTES:
                self._head += block[:_HEAD_BYTES]
            yield self._group(self._splitter.feed(block))
            if self._failure is not None:
                raise self._failure
            if self._over:
                return
        group = self._group(self._splitter.close())
        # The connection may have ended within an event, which then is no defect of the protocol; `done` judges it.
        self._failure = None
        yield group

    def _group(self, events: Sequence[bytes]) -> list[Delta]:
        group: list[Delta] = []
        for data in events:
            text = data.strip()
            if text == b"[DONE]":
                self._over = True
                break
            if not text:
                continue
            try:
                group += self._taken(text)
            except ServiceError as error:
                self._failure = error
                break
            self._events += 1
        self.began = self.began or bool(group)
        return group

    def _taken(self, data: bytes) -> list[Delta]:
        try:
            chunk = wire.decode(data)
        except wire.NotProtocol:
            raise ProviderProtocol(
                "the model's provider sent what is not JSON, or not of its protocol"
            ) from None
        if chunk.error:
            failure = ProviderUnavailable("the model's provider failed while it answered; try again")
            failure.said = words_of(chunk.error)
            raise failure
        if chunk.usage is not None:
            self._tokens = chunk.usage
        choice = wire.first_choice(chunk.choices)
        if choice is None:
            return []
        if choice.finish_reason:
            self._reason = wire.finish_reason(choice.finish_reason)
        return [] if choice.delta is None else self._deltas.of(choice.delta)

    def done(self) -> Done:
        """The end. Raises ProviderUnavailable when the stream just stopped, ProviderProtocol when it never was one."""
        if self._reason is None and not self._over:
            if self._events:
                raise ProviderUnavailable("the model's provider closed its answer early; try again")
            said, _ = said_in(self._head)
            if said:
                failure = ProviderUnavailable("the model's provider failed instead of answering; try again")
                failure.said = said
                raise failure
            raise ProviderProtocol("the model's provider answered with no stream of events")
        return Done(
            self._reason or FinishReason.STOP,
            wire.usage(self._tokens) if self._tokens is not None else None,
            self.upstream_request_id,
        )
