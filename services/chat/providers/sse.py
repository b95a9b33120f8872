"""Server-sent events (WHATWG HTML §9.2), as far as language models use them: the data of each event."""

from __future__ import annotations

from services.capabilities.upstream.errors import ProviderProtocol


class EventSplitter:
    """Cuts a byte stream into the data of its events, however it is cut into reads.

    An event larger than `limit` bytes raises ProviderProtocol: nothing is kept without bound.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False

    def feed(self, block: bytes) -> list[bytes]:
        """The data of the events that end within `block`, in order. Events without data are left out."""
        events: list[bytes] = []
        if not block:
            return events
        # Most blocks hold whole lines that end with a line feed, so the rest is only looked at when it is there.
        if self._after_return and block.startswith(b"\n"):
            block = block[1:]
        self._after_return = block.endswith(b"\r")
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = block.split(b"\n")
        for line in lines:
            if self._line:
                line = bytes(self._line) + line
                self._line.clear()
            self._take(line, events)
        self._line += rest
        if len(self._line) + self._size > self._limit:
            raise _too_large(self._limit)
        return events

    def close(self) -> list[bytes]:
        """The last event, when the stream ends without the empty line that should end it."""
        events: list[bytes] = []
        if self._line:
            self._take(bytes(self._line), events)
            self._line.clear()
        self._take(b"", events)
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
                self._size = 0
        elif line.startswith(b"data:"):
            data = line[6:] if line.startswith(b"data: ") else line[5:]
            # One more for the line feed that joins it, so that endless empty lines are bounded, too.
            self._size += len(data) + 1
            if self._size > self._limit:
                raise _too_large(self._limit)
            self._data.append(data)
        # Comments and other fields (event, id, retry) say nothing about the answer.


def _too_large(limit: int) -> ProviderProtocol:
    return ProviderProtocol(f"the model's provider sent an event of more than {limit} bytes")
