"""SearchMessages, and the piece of a message that shows why it was found."""

from __future__ import annotations

import asyncio
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from services.chat.errors import SearchesOverloaded
from services.chat.model import Message
from services.chat.ports import SessionStore
from services.chat.usecases.sessions import GetSession
from services.chat.words import Wanted, folded, places, unfolded
from services.kernel.errors import InvalidArgument
from services.kernel.paging import PageTokens
from services.kernel.principal import Principal

SNIPPET_LENGTH = 160
_BEFORE = 40
_MOST_WORDS = 8
_MOST_PLACES = 4
_AROUND = 1000
_JOINER = "\u200d"


class SearchTurns:
    """Bounds how many searches run at once in this process, since each has a connection and reads much, how many wait, and how many of
    either are one person's, so that others have their turn."""

    def __init__(self, *, at_once: int = 2, waiting: int = 8, of_one: int = 4) -> None:
        self._running = asyncio.Semaphore(at_once)
        self._places = at_once + waiting
        self._of_one = of_one
        self._taken: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends. Raises SearchesOverloaded when too many wait already."""
        if self._taken.total() >= self._places or self._taken[user_id] >= self._of_one:
            raise SearchesOverloaded
        self._taken[user_id] += 1
        try:
            async with self._running:
                yield
        finally:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]


@dataclass(frozen=True, slots=True)
class SearchMessages:
    """Finds messages by their words."""

    sessions: GetSession
    store: SessionStore
    tokens: PageTokens
    turns: SearchTurns = field(default_factory=SearchTurns)
    longest: float = 15.0
    """Seconds after which a search is ended."""

    async def __call__(
        self, principal: Principal, session_id: str, query: str, page_size: int, page_token: str, skip: int
    ) -> tuple[Sequence[tuple[Message, str]], str]:
        """A page of messages with their snippets, best first, and the token of the next page.

        Raises InvalidArgument for a query without a word and for a foreign page token, NotFound for the session, SearchesOverloaded
        when too many search at once or this one takes too long, and Unavailable.
        """
        if not Wanted.of(query).words:
            raise InvalidArgument.field("query", "has no word; give some that the messages have")
        if session_id:
            session_id = (await self.sessions(principal, session_id)).session_id
        filter_ = (principal.user_id, session_id, query)
        request = self.tokens.request(page_size, page_token, skip, "chat.search", filter_)
        async with self.turns.turn(principal.user_id):
            try:
                async with asyncio.timeout(self.longest):
                    page = await self.store.search(principal.user_id, session_id, query, request)
            except TimeoutError:
                raise SearchesOverloaded from None
            hits = []
            for message in page.items:
                hits.append((message, snippet(" ".join(message.texts), query)))
                # Some thirty of them may be long.
                await asyncio.sleep(0)
        return hits, self.tokens.token(page.after, "chat.search", filter_)


def snippet(text: str, query: str) -> str:
    """A piece of `text`, in one line and of about 160 characters, where most words of `query` stand close together; its beginning when none
    does. An ellipsis stands for what is left out; what is cut is cut between words, or at least between characters."""
    at = _best_place(text, query)
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
    looked_at = folded(text)
    found = sorted(
        (place, word)
        for word in Wanted.of(query).words[:_MOST_WORDS]
        for place in islice(places(looked_at, word), _MOST_PLACES)
    )
    best, most = 0, 0
    for place, _ in found:
        near = len({word for other, word in found if 0 <= other - place < SNIPPET_LENGTH - _BEFORE})
        if near > most:
            best, most = place, near
    return unfolded(text, best)


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
