"""SSML is read: expat finds the elements, and what is not taken is refused where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from services.kernel.errors import InvalidArgument
from services.speech.text.elements import (
    Manner,
    NotTaken,
    attributes_of,
    check_element,
    check_root,
    manner_of,
    pause_of,
)

_DEEPEST = 16
_MOST_ELEMENTS = 5000
_MOST_PAUSE = 600.0
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UNDEFINED_ENTITY = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
_ENTITIES = "the entities are &amp; &lt; &gt; &quot; &apos; and numbers such as &#233;"


@dataclass(slots=True)
class Flow:
    """What is left of an SSML: its text with single spaces, and what was said of places in it. `stretches` are where each manner
    begins, `pauses` how long it is silent before a place, `borders` where a sentence begins because the markup says so, `whole` the
    places where it must not be cut."""

    text: str = ""
    stretches: list[tuple[int, Manner]] = field(default_factory=list)
    pauses: list[tuple[int, float]] = field(default_factory=list)
    borders: list[int] = field(default_factory=list)
    whole: set[int] = field(default_factory=set)


def read(ssml: str, longest: int) -> Flow:
    """Read an SSML, of which `sub` and `say-as` have texts of at most `longest` code points. Raises InvalidArgument for `ssml`,
    with the line and the column."""
    return _Reader(longest).read(ssml)


@dataclass(slots=True)
class _Open:
    """An element that is open: it began when the text had `begin` characters."""

    name: str
    manner: Manner
    begin: int


class _Reader:
    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._flow = Flow()
        self._words: list[str] = []
        self._length = 0
        self._open = [_Open("", Manner(), 0)]
        self._elements = 0
        self._silence = 0.0
        # What stands between the last word and the next: a space, a border, a pause, and how few elements were open.
        self._is_spaced = self._is_border = False
        self._pause = 0.0
        self._fewest_open = 1
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refusing("a document type (DOCTYPE) is not taken")
        parser.EntityDeclHandler = self._refusing(f"entities can't be declared; {_ENTITIES}")
        parser.ExternalEntityRefHandler = self._refusing("nothing outside of the text is ever read")
        parser.SkippedEntityHandler = self._refusing(f"this entity is not taken; {_ENTITIES}")
        parser.ProcessingInstructionHandler = self._refusing("processing instructions are not taken")

    def read(self, ssml: str) -> Flow:
        try:
            self._parser.Parse(ssml, True)
        except UnicodeEncodeError:
            raise InvalidArgument.field("ssml", "has characters that are none of Unicode") from None
        except expat.ExpatError as error:
            what = _ENTITIES if error.code == _UNDEFINED_ENTITY else expat.ErrorString(error.code)
            raise _refused(f"can't be read as XML: {what}", error.lineno, error.offset) from None
        self._place_pause()
        self._flow.text = "".join(self._words)
        return self._flow

    def _refuse(self, what: str) -> NoReturn:
        raise _refused(what, self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber) from None

    def _refusing(self, what: str) -> Callable[..., NoReturn]:
        def refuse(*_: object) -> NoReturn:
            self._refuse(what)

        return refuse

    def _start(self, name: str, pairs: list[str]) -> None:
        outer = self._open[-1]
        self._elements += 1
        if self._elements > _MOST_ELEMENTS:
            self._refuse(f"there are more than {_MOST_ELEMENTS} elements")
        if len(self._open) > _DEEPEST:
            self._refuse(f"elements are nested more than {_DEEPEST} deep")
        try:
            check_element(name, outer.name)
            attributes = attributes_of(name, pairs)
            for value in attributes.values():
                self._check_characters(value)
            if name == "speak":
                check_root(attributes)
            elif name == "break":
                self._break(pause_of(attributes))
            manner = manner_of(name, attributes, outer.manner)
        except NotTaken as error:
            self._refuse(str(error))
        if name in ("p", "s"):
            self._is_border = self._is_spaced = True
        self._open.append(_Open(name, manner, self._length))

    def _end(self, name: str) -> None:
        closed = self._open.pop()
        self._fewest_open = min(self._fewest_open, len(self._open))
        if name in ("p", "s"):
            self._is_border = self._is_spaced = True
        if not closed.manner.is_whole:
            return
        begin, manner = self._flow.stretches[-1] if self._flow.stretches else (0, Manner())
        if manner is not closed.manner:
            self._refuse(f"<{name}> has no text")
        if self._length - begin > self._longest:
            self._refuse(f"<{name}> has a text of more than {self._longest} characters")
        self._flow.whole.update(range(begin + 1, self._length))

    def _break(self, pause: float) -> None:
        if not pause:
            return
        self._silence += pause
        if self._silence > _MOST_PAUSE:
            self._refuse(f"all breaks together are longer than {_MOST_PAUSE:.0f} seconds")
        self._pause += pause
        self._is_border = self._is_spaced = True

    def _characters(self, data: str) -> None:
        self._check_characters(data)
        words = data.split()
        if words and self._open[-1].name == "break":
            self._refuse("<break> has a text; it has to be empty")
        is_spaced = data[0].isspace()
        for word in words:
            self._is_spaced |= is_spaced
            self._add(word)
            is_spaced = True
        self._is_spaced |= data[-1].isspace()

    def _add(self, word: str) -> None:
        if self._is_spaced and self._length:
            # It belongs to what surrounds both words.
            self._stretch(self._open[self._fewest_open - 1].manner)
            self._words.append(" ")
            self._length += 1
        if self._is_border and self._length:
            self._flow.borders.append(self._length)
        self._place_pause()
        self._stretch(self._open[-1].manner)
        self._words.append(word)
        self._length += len(word)
        self._is_spaced = self._is_border = False
        self._fewest_open = len(self._open)

    def _place_pause(self) -> None:
        if self._pause:
            self._flow.pauses.append((self._length, self._pause))
            self._pause = 0.0

    def _stretch(self, manner: Manner) -> None:
        # Each element has a manner of its own, however equal to another's.
        if not self._flow.stretches or self._flow.stretches[-1][1] is not manner:
            self._flow.stretches.append((self._length, manner))

    def _check_characters(self, text: str) -> None:
        if found := _CONTROL.search(text):
            self._refuse(f"the control character U+{ord(found[0]):04X} is not taken")


def _refused(what: str, line: int, column: int) -> InvalidArgument:
    return InvalidArgument.field("ssml", f"{what} (line {line}, column {column + 1})")
