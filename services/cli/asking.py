"""One question and its answer, which Ctrl-C cancels."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from antiphon.chat.v1 import chat_pb2

from antiphon_client import AntiphonError, ChatOptions, Client, Reconnect, Stream
from antiphon_client.errors import Unreachable
from services.cli.answer import Answer
from services.cli.output import for_programs

CANCEL_SECONDS = 10.0
NAMED_SECONDS = 2.0
"""How long a Ctrl-C waits for the first event: what has no name yet can't be cancelled."""
INTERRUPTED = 130


def ask(
    client: Client,
    question: str | Sequence[chat_pb2.Message],
    options: ChatOptions,
    answer: Answer,
    *,
    patience: int = 2,
) -> bool:
    """Shows the answer; False when it was cancelled. The `patience`-th Ctrl-C breaks off."""

    def lost(reconnect: Reconnect) -> None:
        # Before the first event nothing is lost: the question is asked again, or the command fails soon.
        if stream.generation_id and reconnect.attempt == 1:
            answer.remark("(the connection was lost; resuming …)")

    try:
        with (
            client.stream(question, on_reconnect=lost, **options) as stream,
            Interrupt(stream, patience) as interrupt,
        ):
            try:
                for event in stream:
                    answer.show(event)
            finally:
                if interrupt.happened:
                    answer.interrupted()
            if interrupt.happened:
                _cancel(client, stream, answer)
            return not interrupt.happened
    finally:
        answer.end()


def _cancel(client: Client, stream: Stream, answer: Answer) -> None:
    """Ends the generation, and shows what was kept of it beyond what was shown."""
    if stream.finished is not None:
        answer.end()
        return
    if not stream.generation_id:
        answer.remark("(broken off before an answer began)")
        return
    try:
        ended = client.cancel(stream.generation_id, resume_token=stream.resume_token, timeout=CANCEL_SECONDS)
    except AntiphonError as error:
        why = "no server answers" if isinstance(error, Unreachable) else error.message
        answer.remark(f"antiphon: the answer could not be cancelled: {why}")
        return
    try:
        rest = client.resume(
            stream.generation_id,
            after_seq=stream.seq,
            resume_token=stream.resume_token,
            timeout=CANCEL_SECONDS,
        )
        for event in rest:
            answer.show(event)
    except AntiphonError:
        # It is cancelled, and whoever may only write, or has lost the server again, has been told its text.
        answer.complete(ended)


class Interrupt:
    """Within the block the first Ctrl-C closes the stream, so that its iteration ends in order; the `patience`-th one breaks off."""

    def __init__(self, stream: Stream, patience: int = 2) -> None:
        self._stream = stream
        self._left = patience
        self._for_programs = for_programs.get()
        self._previous: Any = None
        self.happened = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._left -= 1
        if self._left <= 0:
            # An exception that is raised here may come up where it is swallowed, in a finaliser or a callback of gRPC's.
            os._exit(INTERRUPTED)
        if self.happened:
            # Past the buffers of standard error, which the code that was interrupted may be using.
            text = "(waiting for the server; once more leaves)"
            os.write(
                2,
                f"{json.dumps({'note': text})}\n".encode() if self._for_programs else f"\n{text}\n".encode(),
            )
            return
        self.happened = True
        # From a thread of its own: the main one may be waiting inside the very call that is to be closed.
        threading.Thread(target=self._close, daemon=True).start()

    def _close(self) -> None:
        deadline = time.monotonic() + NAMED_SECONDS
        while not self._stream.generation_id and time.monotonic() < deadline:
            time.sleep(0.02)
        self._stream.close()

    def __enter__(self) -> Interrupt:
        self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        signal.signal(signal.SIGINT, self._previous)
