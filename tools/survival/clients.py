"""Clients that will have their answer: they stream, lose their server, and come back for the rest."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status.rpc_status import from_call

from tools.survival.upstream import answer_of

ATTEMPTS = 100
_PAUSE_SECONDS = 0.2
_TOTAL_SECONDS = 60.0
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 300),
)
# What tells that a server or a connection is gone, so that trying elsewhere makes sense.
_GONE = {grpc.StatusCode.UNAVAILABLE}


class End(StrEnum):
    """How a client's call ended for it."""

    NONE = "none"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Wish:
    """What a client asks for, and how it behaves. `patience` is how long it waits for the next event before it takes its server for dead;
    None for as long as the connection stands. `asks_again` has it repeat its call with the same request_id instead of resuming."""

    words: int
    pause: float
    token: str
    on_disconnect: chat_pb2.OnDisconnect
    asks_again: bool
    patience: float | None


@dataclass
class Client:
    """One call, and what its client was given."""

    wish: Wish
    addresses: Sequence[str]
    chance: random.Random
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: chat_pb2.Started | None = None
    text: str = ""
    seq: int = 0
    end: End = End.NONE
    attempts: int = 0
    resumed: int = 0
    begun_again: int = 0
    faults: list[str] = field(default_factory=list)
    _held: str = ""
    _channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Its credential; anonymous callers have none."""
        return (("authorization", f"Bearer {self.wish.token}"),) if self.wish.token else ()

    @property
    def whole(self) -> str:
        """The answer that it asked for."""
        return answer_of(self.wish.words)

    def request(self) -> chat_pb2.StreamChatRequest:
        """The call."""
        return chat_pb2.StreamChatRequest(
            request_id=self.request_id,
            model="counting",
            message="Count",
            parameters=chat_pb2.Parameters(max_output_tokens=self.wish.words, temperature=self.wish.pause),
            on_disconnect=self.wish.on_disconnect,
        )

    async def run(self) -> None:
        """Ask at the first address, and go on at any until the answer has ended."""
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                while self.end is End.NONE and not self.faults:
                    if self.attempts == ATTEMPTS:
                        self.faults.append(f"no answer in {ATTEMPTS} attempts")
                        break
                    if self.attempts:
                        await asyncio.sleep(_PAUSE_SECONDS)
                    await self._attempt()
        except TimeoutError:
            self.faults.append(f"hung: no end within {_TOTAL_SECONDS:.0f} s, {self.attempts} attempts")
        finally:
            for channel in self._channels.values():
                await channel.close()

    async def _attempt(self) -> None:
        address = self.addresses[0] if not self.attempts else self.chance.choice(self.addresses)
        self.attempts += 1
        call = self._call(self._stub(address))
        try:
            while True:
                async with asyncio.timeout(self.wish.patience):
                    response = await call.read()
                if response is grpc.aio.EOF:
                    break
                self._take(response.event)
            code = await call.code()
            if code is grpc.StatusCode.OK:
                if self.end is End.NONE:
                    self.faults.append("the stream ended without `finished` and without a status")
                return
            # The library tells of a failure here only when it did not raise it above.
            self._failed(code, "", "")
        except TimeoutError:
            pass
        except grpc.aio.AioRpcError as error:
            self._failed(error.code(), _reason(error), error.details() or "")
        finally:
            call.cancel()

    def _call(self, stub: Any) -> Any:
        self._held, held = "", self.text
        if self.started is not None and not self.wish.asks_again:
            self.resumed += 1
            request = chat_pb2.ResumeStreamRequest(
                generation_id=self.started.generation_id,
                after_seq=self.seq,
                resume_token=self.started.resume_token,
            )
            return stub.ResumeStream(request, metadata=self.metadata)
        if self.attempts > 1:
            self.resumed += 1
        # The answer is told from its beginning: it has to begin with what is held.
        self._held, self.text, self.seq = held, "", 0
        return stub.StreamChat(self.request(), metadata=self.metadata)

    def _stub(self, address: str) -> Any:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, _OPTIONS)
        return chat_pb2_grpc.ChatServiceStub(self._channels[address])

    def _take(self, event: chat_pb2.ChatEvent) -> None:
        if event.first_seq != self.seq + 1 or event.seq < event.first_seq:
            self.faults.append(f"after position {self.seq} came {event.first_seq} to {event.seq}")
        self.seq = event.seq
        if event.HasField("started"):
            self._begin(event.started)
        elif event.HasField("text_delta"):
            self.text += event.text_delta.text
        elif event.HasField("finished"):
            stopped = event.finished.reason == chat_pb2.FINISH_REASON_CANCELLED
            self._finish(End.CANCELLED if stopped else End.COMPLETED)

    def _begin(self, started: chat_pb2.Started) -> None:
        before = self.started
        self.started = started
        if before is not None and before.generation_id != started.generation_id:
            # A call that failed before its first token frees its request_id, so that the next one begins anew.
            self.begun_again += 1
            if self._held:
                self.faults.append("the same request_id began a second answer behind words of the first")
                self._held = ""

    def _failed(self, code: grpc.StatusCode, reason: str, details: str) -> None:
        if code is grpc.StatusCode.ABORTED and reason == "GENERATION_INTERRUPTED":
            self._finish(End.INTERRUPTED)
        elif code not in _GONE:
            self.faults.append(f"was told {code.name} {reason}: {details}")
        elif self._held and len(self._held) > len(self.text):
            # A replay that was cut off holds less than what is held already.
            self.text = self._held

    def _finish(self, end: End) -> None:
        self.end = end
        if not self.text.startswith(self._held):
            self.faults.append("a replay began otherwise than what was held")
        if not self.whole.startswith(self.text):
            self.faults.append(f"the text is no beginning of what the model said: …{self.text[-40:]!r}")
        if end is End.COMPLETED and self.text != self.whole:
            self.faults.append(f"the end was told {len(self.whole) - len(self.text)} characters early")

    def names(self) -> Mapping[str, str]:
        """What GetGeneration and ResumeStream need."""
        assert self.started is not None
        return {"generation_id": self.started.generation_id, "resume_token": self.started.resume_token}


def _reason(error: grpc.aio.AioRpcError) -> str:
    status = from_call(error)  # type: ignore[arg-type]
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""
