"""A feed of revocations that a test speaks itself, and the entries that it speaks of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from services.capabilities.identity.model import Proof
from services.capabilities.identity.revocations import FeedItem, Revocation, RevocationKind
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.principal import Kind, Principal

LIFE = 960.0


class Clock:
    """A clock that a test sets forward."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class SpokenFeed:
    """A RevocationSource: what is said to it, its one watcher hears. `watched` are the positions that it was watched from."""

    def __init__(self) -> None:
        self.watched: list[int | None] = []
        self._said: asyncio.Queue[FeedItem | Exception] = asyncio.Queue()
        self._listening = False

    def say(self, *items: FeedItem | Exception) -> None:
        for item in items:
            self._said.put_nowait(item)

    def lose(self) -> None:
        self.say(Unavailable("the feed is lost"))

    async def heard(self) -> None:
        """Wait until all that was said has been taken in, and more is waited for."""
        await until(lambda: self._listening and self._said.empty())

    async def watch(self, after: int | None) -> AsyncIterator[FeedItem]:
        self.watched.append(after)
        while True:
            self._listening = True
            item = await self._said.get()
            self._listening = False
            if isinstance(item, Exception):
                raise item
            yield item


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.002)


def entry(
    position: int,
    kind: RevocationKind = RevocationKind.SESSION,
    subject: str = "",
    *,
    at: float | None = None,
    life: float = LIFE,
) -> Revocation:
    """An entry of the feed, made `at` that time."""
    made = time.time() if at is None else at
    return Revocation(position, kind, subject or new_id(), made, made + life)


def login(user_id: str = "", session_id: str = "", revision: int = 0, issued_at: float = 0.0) -> Proof:
    """What an access token proves."""
    principal = Principal(Kind.USER, user_id=user_id or new_id(), session_id=session_id or new_id())
    return Proof(principal, issued_at, revision)


def api_key(user_id: str = "", api_key_id: str = "", revision: int = 0, issued_at: float = 0.0) -> Proof:
    """What an API key proves."""
    principal = Principal(
        Kind.USER, user_id=user_id or new_id(), api_key_id=api_key_id or new_id(), scopes=frozenset()
    )
    return Proof(principal, issued_at, revision)
