"""One question and its answer, which Ctrl-C cancels."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from antiphon.chat.v1 import chat_pb2

from antiphon_client import AntiphonError, ChatOptions, Client, Stream
from services.cli.answer import Answer
from services.cli.output import note

CANCEL_SECONDS = 10.0
INTERRUPTED = 130


def ask(
    client: Client, question: str | Sequence[chat_pb2.Message], options: ChatOptions, answer: Answer
) -> bool:
    """Shows the answer; False when it was cancelled."""
    try:
        with client.stream(question, **options) as stream:
            with Interrupt(stream) as interrupt:
                for event in stream:
                    answer.show(event)
                if interrupt.happened:
                    _cancel(client, stream, answer)
            return not interrupt.happened
    finally:
        answer.end()


def _cancel(client: Client, stream: Stream, answer: Answer) -> None:
    """Ends the generation, and shows what was kept of it beyond what was shown."""
    if not stream.generation_id or stream.finished is not None:
        answer.end()
        return
    try:
        client.cancel(stream.generation_id, resume_token=stream.resume_token, timeout=CANCEL_SECONDS)
        rest = client.resume(
            stream.generation_id,
            after_seq=stream.seq,
            resume_token=stream.resume_token,
            timeout=CANCEL_SECONDS,
        )
        for event in rest:
            answer.show(event)
    except AntiphonError as error:
        answer.end()
        note(f"antiphon: the answer could not be cancelled: {error.message}")


class Interrupt:
    """Within the block the first Ctrl-C closes the stream, so that its iteration ends in order; a second one breaks off."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._previous: Any = None
        self.happened = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.happened:
            # An exception that is raised here may come up where it is swallowed, in a finaliser or a callback of gRPC's.
            os._exit(INTERRUPTED)
        self.happened = True
        # From a thread of its own: the main one may be waiting inside the very call that is to be closed.
        threading.Thread(target=self._stream.close, daemon=True).start()

    def __enter__(self) -> Interrupt:
        self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        signal.signal(signal.SIGINT, self._previous)
