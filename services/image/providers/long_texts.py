"""JSON whose texts are images: a parser would hold the interpreter for as long as it reads them."""

from __future__ import annotations

from collections.abc import Sequence

_LONG = 16 * 1024
# An answer of ten images has some dozens of texts, and little besides.
_MOST_TEXTS = 10_000
_MOST_REST = 1024 * 1024
_QUOTE, _BACKSLASH = b'"', b"\\"
_MARK = "\x01"


class NotShort(Exception):
    """What is left beside the long texts is more than a parser should be given."""


class LongTexts:
    """The long texts of a JSON document, taken out of it. `rest` is the document with a mark in the place of each. Raises NotShort."""

    def __init__(self, document: bytearray) -> None:
        self._found: list[memoryview] = []
        self.rest = bytearray()
        view, behind, begin, count = memoryview(document), 0, document.find(_QUOTE), 0
        while begin >= 0 and (end := _end(document, begin + 1)) >= 0:
            count += 1
            if end - begin > _LONG:
                self._add(view[behind:begin])
                self._add(f'"\\u0001{len(self._found)}"'.encode())
                self._found.append(_plain(document, view[begin + 1 : end], begin + 1, end))
                behind = end + 1
            if count > _MOST_TEXTS:
                raise NotShort
            begin = document.find(_QUOTE, end + 1)
        self._add(view[behind:])

    def _add(self, part: memoryview | bytes) -> None:
        if len(self.rest) + len(part) > _MOST_REST:
            raise NotShort
        self.rest += part

    def is_long(self, text: str) -> bool:
        """Whether a text of `rest` is but a mark."""
        return text.startswith(_MARK)

    def of(self, text: str) -> Sequence[int]:
        """The bytes of a text of `rest`, with those of a long one in the place of its mark. Raises ValueError for a mark that is none."""
        if not self.is_long(text):
            return memoryview(text.encode())
        number = int(text[1:])
        if not 0 <= number < len(self._found):
            raise ValueError("no text has this mark")
        return self._found[number]


def _end(document: bytearray, start: int) -> int:
    """Where the text ends that begins here; -1 when it does not."""
    end = document.find(_QUOTE, start)
    while end >= 0:
        escapes = end
        while escapes > start and document[escapes - 1] == _BACKSLASH[0]:
            escapes -= 1
        if (end - escapes) % 2 == 0:
            return end
        end = document.find(_QUOTE, end + 1)
    return -1


def _plain(document: bytearray, text: memoryview, begin: int, end: int) -> memoryview:
    # The one character of base64 that some escape, though they need not.
    if document.find(_BACKSLASH, begin, end) < 0:
        return text
    return memoryview(bytes(text).replace(b"\\/", b"/"))
