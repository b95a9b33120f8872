"""How far a client has read a generation's record, and how it goes on. Decides; neither calls nor waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from antiphon.chat.v1 import chat_pb2

from antiphon_client import _calls
from antiphon_client.errors import AntiphonError, BrokenRecord, Unreachable

StreamCall = (
    _calls.Call[chat_pb2.StreamChatRequest, chat_pb2.StreamChatResponse]
    | _calls.Call[chat_pb2.ResumeStreamRequest, chat_pb2.ResumeStreamResponse]
)


@dataclass(frozen=True, slots=True)
class Reconnect:
    """What a stream tells before it seeks its connection again: why it broke, which try since its last event this will be, counted
    from 1, and after how many seconds it comes."""

    failure: AntiphonError
    attempt: int
    pause: float


OnReconnect = Callable[[Reconnect], object]


class RecordReader:
    """Takes each event of a record once and in order, whatever calls it comes from.

    `seq` is the last position that was taken. `generation_id` and `resume_token` are empty until `started` has come, unless
    they were known before.
    """

    def __init__(
        self,
        first: _calls.Call[chat_pb2.StreamChatRequest, chat_pb2.StreamChatResponse] | None = None,
        *,
        generation_id: str = "",
        after_seq: int = 0,
        resume_token: str = "",
    ) -> None:
        self._first = first
        self._request_id = first.request_id if first is not None else _calls.new_request_id()
        self._resumes_at = after_seq if first is None else None
        self._heard = False
        self.generation_id = generation_id
        self.resume_token = resume_token
        self.seq = after_seq
        self.started: chat_pb2.Started | None = None
        self.finished: chat_pb2.Finished | None = None
        self.ended = False

    def next_call(self) -> StreamCall:
        """The call that brings what is still missing.

        Until the generation is known that is the first call again: its request_id attaches it to what it began.
        """
        self._heard = False
        if self._first is not None and not self.generation_id:
            return self._first
        request = chat_pb2.ResumeStreamRequest(
            generation_id=self.generation_id, after_seq=self.seq, resume_token=self.resume_token
        )
        return _calls.call(_calls.RESUME, request, self._request_id)

    def accept(self, event: chat_pb2.ChatEvent) -> bool:
        """Whether `event` is new. Raises BrokenRecord when it leaves something out or covers only partly new positions."""
        self._heard = True
        if event.seq <= self.seq:
            return False
        if event.first_seq != self.seq + 1 or event.first_seq > event.seq:
            raise BrokenRecord(
                f"after position {self.seq} came an event that covers {event.first_seq} to {event.seq}",
                metadata={"generation_id": self.generation_id, "seq": str(self.seq)},
            )
        self.seq = event.seq
        if event.HasField("started"):
            self.started = event.started
            self.generation_id = event.started.generation_id
            self.resume_token = event.started.resume_token or self.resume_token
        elif event.HasField("finished"):
            self.finished = event.finished
            self.ended = True
        return True

    def take(
        self, response: chat_pb2.StreamChatResponse | chat_pb2.ResumeStreamResponse
    ) -> chat_pb2.ChatEvent | None:
        """The event of a response, if it is new. Raises BrokenRecord as `accept` does."""
        return response.event if self.accept(response.event) else None

    def give_up(self, failure: AntiphonError) -> bool:
        """False: a record is gone on with wherever it broke off."""
        return False

    def cut_short(self) -> None:
        """Told that a call has ended well. Raises Unreachable when the record has not ended, so that the connection broke."""
        if self._resumes_at == self.seq and not self._heard:
            # Whoever asks for what comes after the last event is told that nothing does.
            self.ended = True
        if not self.ended:
            raise Unreachable("the stream ended before the answer did")


class StreamView:
    """What a stream of events tells of itself, beside the events; `Stream` and `AsyncStream` share it."""

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    @property
    def generation_id(self) -> str:
        """The generation; empty until `started` has come."""
        return self._reader.generation_id

    @property
    def resume_token(self) -> str:
        """What an anonymous caller needs to resume or cancel; empty for others."""
        return self._reader.resume_token

    @property
    def seq(self) -> int:
        """The last position that was taken; `resume(generation_id, after_seq=seq)` goes on from there."""
        return self._reader.seq

    @property
    def started(self) -> chat_pb2.Started | None:
        """The first event's content, once it has come."""
        return self._reader.started

    @property
    def finished(self) -> chat_pb2.Finished | None:
        """The last event's content, once it has come."""
        return self._reader.finished
