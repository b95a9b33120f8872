"""How many searches run and wait at once, and what the others are told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from services.chat.errors import SearchesOverloaded
from services.chat.model import Message
from services.chat.ports import SessionStore
from services.chat.usecases.search import SearchMessages, SearchTurns
from services.chat.usecases.sessions import GetSession
from services.kernel.paging import Page, PageRequest, PageTokens
from services.kernel.principal import Kind, Principal
from tests.fakes.chat_play import until


class HeldStore:
    """A store whose searches take until they are let go."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.most = 0
        self.go = asyncio.Event()

    async def search(self, user_id: str, session_id: str, query: str, page: PageRequest) -> Page[Message]:
        self.running.append(user_id)
        self.most = max(self.most, len(self.running))
        try:
            await self.go.wait()
        finally:
            self.running.remove(user_id)
        return Page([])


class Desk:
    """SearchMessages on a held store, asked by people."""

    def __init__(self, longest: float = 15.0) -> None:
        self.store = HeldStore()
        store = cast("SessionStore", self.store)
        self.use = SearchMessages(
            GetSession(store), store, PageTokens(b"k"), SearchTurns(at_once=2, waiting=3, of_one=2), longest
        )

    def ask(self, user_id: str) -> asyncio.Task[Any]:
        return asyncio.create_task(self.use(Principal(Kind.USER, user_id), "", "lima", 0, "", 0))


async def test_few_run_at_once_and_few_wait() -> None:
    desk = Desk()
    asked = [desk.ask(f"u{number}") for number in range(12)]
    await until(lambda: sum(task.done() for task in asked) == 7)
    assert desk.store.running == ["u0", "u1"]
    for task in asked[5:]:
        with pytest.raises(SearchesOverloaded) as refused:
            await task
        assert refused.value.reason == "OVERLOADED"
        assert refused.value.metadata == {"queue": "searches"}
        assert refused.value.retry_after
    desk.store.go.set()
    await asyncio.gather(*asked[:5])
    assert desk.store.most == 2
    await desk.ask("u9")


async def test_one_person_leaves_turns_to_others() -> None:
    desk = Desk()
    hers = [desk.ask("ana") for _ in range(4)]
    his = desk.ask("ben")
    await until(lambda: sum(task.done() for task in hers) == 2)
    desk.store.go.set()
    await asyncio.gather(*hers[:2], his)


async def test_who_goes_away_gives_the_place_back() -> None:
    desk = Desk()
    asked = [desk.ask(f"u{number}") for number in range(5)]
    await until(lambda: len(desk.store.running) == 2)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    again = [desk.ask(f"u{number}") for number in range(5)]
    await until(lambda: len(desk.store.running) == 2)
    desk.store.go.set()
    await asyncio.gather(*again)


async def test_a_search_that_takes_too_long_is_ended() -> None:
    desk = Desk(longest=0.05)
    with pytest.raises(SearchesOverloaded):
        await desk.ask("ana")
    assert desk.store.running == []
