"""JSON whose long texts are base64: they are taken out of it and decoded while it comes, so that only the rest is ever parsed."""

from __future__ import annotations

import binascii
import io

_LONG = 16 * 1024
# An answer of ten images has some dozens of texts, and little besides. Each quote costs a step in Python, each block of bytes some in C.
_MOST_QUOTES = 4096
_MOST_REST = 512 * 1024
_QUOTE, _BACKSLASH = b'"', b"\\"
_MARK = "\x01"


class NotShort(Exception):
    """What is left beside the long texts is more than a parser should be given."""


class NotBase64(Exception):
    """A text is something else."""


class TooLong(Exception):
    """A text has more bytes than are taken."""


class Base64:
    """The bytes of base64 that comes in pieces, at most `limit` of them. What is wrong is told at the end, and nothing is kept of it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = io.BytesIO()
        self._carried = b""
        self._is_padded = False
        self._failed: type[Exception] | None = None

    @property
    def held_bytes(self) -> int:
        """How many there are now."""
        return self._data.tell()

    def add(self, piece: bytes) -> None:
        """The next digits."""
        if self._failed is not None or not piece:
            return
        # The one digit that some escape, though they need not.
        digits = (self._carried + piece).replace(b"\\/", b"/")
        end = len(digits) - len(digits) % 4
        if digits.endswith(_BACKSLASH) and end == len(digits):
            end -= 4
        self._carried = digits[end:]
        try:
            if digits[:end]:
                if self._is_padded:
                    raise ValueError("it ends before its end")
                self._data.write(binascii.a2b_base64(digits[:end], strict_mode=True))
                self._is_padded = digits[end - 1 : end] == b"="
        except ValueError:
            self._fail(NotBase64)
        if self.held_bytes > self._limit:
            self._fail(TooLong)

    def end(self) -> bytes:
        """All of it; nothing is held here any more. Raises NotBase64 and TooLong."""
        if self._carried:
            self._fail(NotBase64)
        data, self._data = self._data, io.BytesIO()
        if self._failed is not None:
            raise self._failed
        return data.getvalue()

    def _fail(self, how: type[Exception]) -> None:
        self._failed = self._failed or how
        self._carried, self._data = b"", io.BytesIO()


class LongTexts:
    """Takes the long texts out of a JSON document that comes in blocks, and has each as the bytes whose base64 it is, at most `limit` of
    them. `rest` is the document with a mark in the place of each."""

    def __init__(self, limit: int) -> None:
        self.rest = bytearray()
        self.held_bytes = 0
        """How many bytes of long texts there are now."""
        self._limit = limit
        self._found: dict[str, Base64] = {}
        self._count = 0
        self._quotes = 0
        self._is_inside = False
        # Of the text that is being read: what there is of it while it is short, and whether an odd number of backslashes came last.
        self._text = bytearray()
        self._long: Base64 | None = None
        self._is_escaping = False

    def add(self, block: bytes) -> None:
        """The next part of the document. Raises NotShort."""
        start = 0
        while (quote := block.find(_QUOTE, start)) >= 0:
            self._quotes += 1
            if self._quotes > _MOST_QUOTES:
                raise NotShort
            if not self._is_inside:
                self._keep(block[start:quote])
                self._is_inside = True
            else:
                self._read(block[start:quote])
                if self._is_escaping:
                    self._read(_QUOTE)
                else:
                    self._close()
            start = quote + 1
        if self._is_inside:
            self._read(block[start:])
        else:
            self._keep(block[start:])

    def end(self) -> bytearray:
        """The rest of the whole document. Raises NotShort."""
        if self._is_inside:
            self._keep(_QUOTE + self._text)
        return self.rest

    def is_long(self, text: str) -> bool:
        """Whether a text of `rest` is but a mark."""
        return text.startswith(_MARK)

    def take(self, text: str) -> bytes:
        """The bytes that a text of `rest` stands for, short or long. A long one is given once, and let go of here.

        Raises NotBase64, also for a mark that is none, and TooLong.
        """
        if not self.is_long(text):
            short = Base64(self._limit)
            short.add(text.encode(errors="replace"))
            return short.end()
        long = self._found.pop(text, None)
        if long is None:
            raise NotBase64
        self.held_bytes -= long.held_bytes
        return long.end()

    def _read(self, part: bytes) -> None:
        if not part:
            return
        backslashes = len(part) - len(part.rstrip(_BACKSLASH))
        is_going_on = self._is_escaping and backslashes == len(part)
        self._is_escaping = (backslashes + is_going_on) % 2 == 1
        if self._long is None and len(self._text) + len(part) > _LONG:
            self._long = Base64(self._limit)
            self._count += 1
            self._found[f"{_MARK}{self._count}"] = self._long
            part = bytes(self._text) + part
            self._text.clear()
        if self._long is None:
            self._text += part
        else:
            before = self._long.held_bytes
            self._long.add(part)
            self.held_bytes += self._long.held_bytes - before

    def _close(self) -> None:
        if self._long is None:
            self._keep(_QUOTE + self._text + _QUOTE)
        else:
            self._keep(f'"\\u0001{self._count}"'.encode())
        self._is_inside, self._long = False, None
        self._text.clear()

    def _keep(self, part: bytes | bytearray) -> None:
        if len(self.rest) + len(part) > _MOST_REST:
            raise NotShort
        self.rest += part
