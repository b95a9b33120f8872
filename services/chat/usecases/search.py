"""SearchMessages, and the piece of a message that shows why it was found."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.chat.model import Message
from services.chat.ports import SessionStore
from services.chat.usecases.sessions import GetSession
from services.kernel.errors import InvalidArgument
from services.kernel.paging import PageTokens
from services.kernel.principal import Principal

SNIPPET_LENGTH = 160
_BEFORE = 40
# Beyond these nothing is looked for: a snippet is no search of its own.
_SEARCHED = 100_000
_MOST_WORDS = 8
_MOST_PLACES = 4
_AROUND = 1000
_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class SearchMessages:
    """Finds messages by their words."""

    sessions: GetSession
    store: SessionStore
    tokens: PageTokens

    async def __call__(
        self, principal: Principal, session_id: str, query: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Sequence[tuple[Message, str]], str]:
        """A page of messages with their snippets, best first, and the token of the next page.

        Raises InvalidArgument for a query without a word and for a foreign page token, NotFound for the session.
        """
        if not any(character.isalnum() for character in query):
            raise InvalidArgument.field("query", "has no word; give some that the messages have")
        if session_id:
            session_id = (await self.sessions(principal, session_id)).session_id
        filter_ = (principal.user_id, session_id, query)
        request = self.tokens.request(page_size, page_token, skip, "chat.search", filter_)
        page = await self.store.search(principal.user_id, session_id, query, request)
        hits = [(message, snippet(" ".join(message.texts), query)) for message in page.items]
        return hits, self.tokens.token(page.after, "chat.search", filter_)


def snippet(text: str, query: str) -> str:
    """A piece of `text`, in one line and of about 160 characters, where most words of `query` stand close together; its beginning when none
    does. An ellipsis stands for what is left out; what is cut is cut between words, or at least between characters."""
    at = _best_place(text[:_SEARCHED], query)
    before, after = text[max(at - _AROUND, 0) : at], text[at : at + _AROUND]
    # A word that this piece has cut is not shown.
    left_out, more = at > _AROUND, at + _AROUND < len(text)
    line = " ".join(before.split())
    if line and before[-1].isspace():
        line += " "
    at = len(line)
    line += " ".join(after.split())
    if at > len(line):
        line = line.rstrip()
    start = _start(line, max(at - _BEFORE, 1 if left_out else 0), min(at, len(line)))
    end = _end(line, start, start + SNIPPET_LENGTH, more)
    shown = line[start:end].strip()
    return f"{'…' if start or left_out else ''}{shown}{'…' if end < len(line) or more else ''}"


def _best_place(text: str, query: str) -> int:
    folded = text.lower()
    if len(folded) != len(text):
        folded = "".join(low if len(low := character.lower()) == 1 else character for character in text)
    words = list(dict.fromkeys(re.findall(r"\w+", query.lower())))[:_MOST_WORDS]
    places = sorted((place, word) for word in words for place in _places(folded, word))
    best, most = 0, 0
    for place, _ in places:
        near = len({word for other, word in places if 0 <= other - place < SNIPPET_LENGTH - _BEFORE})
        if near > most:
            best, most = place, near
    return best


def _places(text: str, word: str) -> Iterator[int]:
    """Where the first few occurrences of a word begin, as a word of its own."""
    place, found = text.find(word), 0
    while place >= 0 and found < _MOST_PLACES:
        end = place + len(word)
        if not (text[place - 1 : place].isalnum() or text[end : end + 1].isalnum()):
            found += 1
            yield place
        place = text.find(word, end)


def _start(line: str, start: int, at: int) -> int:
    """`start`, moved to the beginning of a word that is not behind `at`, or else of a character."""
    if start == 0 or start >= at:
        return _character(line, min(start, at))
    if line[start - 1] == " ":
        return start
    space = line.find(" ", start, at)
    return space + 1 if space >= 0 else _character(line, start)


def _end(line: str, start: int, end: int, more: bool) -> int:
    """`end`, moved back to the end of a word, or else of a character."""
    if end >= len(line) and not more:
        return len(line)
    end = min(end, len(line))
    if end < len(line) and line[end] == " ":
        return end
    space = line.rfind(" ", start, end)
    # In a text without spaces, half of the room is not given away for the sake of one.
    if space > start + SNIPPET_LENGTH // 2:
        return space
    while end > start + SNIPPET_LENGTH // 2 and _continues(line, end):
        end -= 1
    return end


def _character(line: str, start: int) -> int:
    """The first place from `start` back where a character begins."""
    while start > 0 and _continues(line, start):
        start -= 1
    return start


def _continues(line: str, place: int) -> bool:
    """Whether what stands here belongs to the character before it: accents, joined emoji, variants."""
    if not 0 < place < len(line):
        return False
    character = line[place]
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or character == _JOINER
        or line[place - 1] == _JOINER
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )
