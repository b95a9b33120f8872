"""How many answers a process makes at once is bounded, also while their beginnings wait for the database."""

from __future__ import annotations

import asyncio
from collections import Counter

import psycopg
import pytest
from antiphon.chat.v1 import chat_pb2

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import Person, Serve, events_of, next_event, told, until, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOM = 5
CALLS = 20


async def test_calls_whose_beginning_waits_take_their_place(serve: Serve, model: Stage, ana: Person) -> None:
    cue = Cue("one")
    model.play(cue.play)
    async with serve(ANTIPHON_CHAT__MAX_GENERATIONS=str(ROOM)) as suite:
        async with await psycopg.AsyncConnection.connect(suite.url) as lock:
            await lock.execute("lock table chat.generations in share mode")
            calls = [
                suite.chat.StreamChat(chat_pb2.StreamChatRequest(message="Tell me"), metadata=ana.metadata)
                for _ in range(CALLS)
            ]
            reading = [asyncio.create_task(told(call)) for call in calls]

            async def all_came() -> bool:
                return suite.suite.server.calls_in_progress + sum(one.done() for one in reading) == CALLS

            await until(all_came)
            await asyncio.sleep(0.1)

        async def all_are_told() -> bool:
            rows = await suite.rows("select count(*) from chat.generations where state = 'running'")
            return sum(one.done() for one in reading) + int(rows[0][0]) == CALLS

        await until(all_are_told)
        assert len(model.exchanges) <= ROOM
        refused = [one.result()[1] for one in reading if one.done()]
        assert Counter(one.what for one in refused if one) == {
            ("RESOURCE_EXHAUSTED", "OVERLOADED"): CALLS - ROOM
        }
        assert all(one.retry for one in refused if one)
        cue.next(ROOM)
        answers = [events for events, status in await asyncio.gather(*reading) if status is None]
        assert [words(events) for events in answers] == ["one"] * ROOM
        # There is room again.
        model.clear()
        call = suite.chat.StreamChat(chat_pb2.StreamChatRequest(message="Tell me"), metadata=ana.metadata)
        await next_event(call)
        assert words(await events_of(call)) == "Bien, gracias."
