"""A call for an answer is metered once: by the generation that it began or found, or as one in which nothing began."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.capabilities.metering.refused import RefusedCalls
from services.chat.model import Lease, NewGeneration, State
from services.kernel.errors import ServiceError, Unavailable
from services.kernel.metering import EndedCall
from services.kernel.principal import Principal
from services.kernel.request import Request, enter
from tests.fakes.chat_play import ALICE, BOB, Chat, SlowStore, a_call, chat, until
from tests.fakes.metering_memory import Figures, MemoryOutbox


@dataclass
class UncertainStore(SlowStore):
    """A store whose beginnings may happen and say that they did not, or not happen."""

    breaks: str = ""

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        if self.breaks == "before":
            raise Unavailable("the connection broke")
        begun = await super().begin(lease, new)
        if self.breaks == "behind":
            raise Unavailable("the connection broke")
        return begun


@dataclass
class Told:
    """What the meter was told of calls that made nothing."""

    made: Chat
    store: UncertainStore
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)

    def __post_init__(self) -> None:
        later = 10.0
        self.refused = RefusedCalls(
            self.outbox, Figures().usage, 1000, clock=lambda: time.time() + (later if self.passed else 0.0)
        )
        self.passed = False

    async def settled(self) -> None:
        """Wait until no beginning is under way."""
        await until(lambda: not self.made.start._beginning)

    async def call(self, principal: Principal = ALICE, **changes: Any) -> str:
        """A call, as the interceptors take it through; the id of its generation, or nothing when it failed."""
        request = Request("", "", principal=principal)
        enter(request)
        try:
            return await self.made.start(principal, a_call(**changes), None)
        except BaseException as error:
            if request.begun is not True:
                reason = error.reason if isinstance(error, ServiceError) else ""
                ended = EndedCall(
                    1, "Chat", principal, not reason, reason, "", "", 0.0, request.begun or None
                )
                self.refused.ended_without_result(ended)
            if isinstance(error, ServiceError):
                return ""
            raise

    async def count(self) -> int:
        """How many were recorded, once all is known."""
        self.passed = True
        await self.refused.flush()
        self.passed = False
        return len(self.outbox.waiting)

    async def ended(self) -> int:
        """How many generations were metered, once none runs."""

        def over() -> bool:
            for play in self.made.provider.plays:
                play.finish()
            return not len(self.made.generations)

        await until(over)
        # What nobody makes is ended when it is seen for the second time.
        await self.made.generations.end_orphans()
        await self.made.generations.end_orphans()
        return len(self.store.usage)


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    store = UncertainStore()
    async with chat(store) as made:
        yield Told(made, store)


def claimed(digest: bytes = b"d") -> dict[str, Any]:
    return {"request_id": str(uuid.uuid4()), "digest": digest}


async def test_an_answer_is_told_by_its_generation_alone(told: Told) -> None:
    assert await told.call()
    assert (await told.ended(), await told.count()) == (1, 0)


async def test_a_call_that_is_refused_is_told_as_such(told: Told) -> None:
    assert not await told.call(model="unknown")
    assert not await told.call(session_id=str(uuid.uuid4()))
    assert (await told.ended(), await told.count()) == (0, 2)


async def test_a_repetition_is_no_call_of_its_own(told: Told) -> None:
    claim = claimed()
    first = await told.call(**claim)
    assert await told.call(**claim) == first
    # Nor when a new call would have been refused.
    assert await told.call(**claim, model="unknown") == first
    assert (await told.ended(), await told.count()) == (1, 0)
    assert await told.call(**claim) == first
    assert (await told.ended(), await told.count()) == (1, 0)


async def test_a_request_id_that_was_used_with_another_body_is_refused(told: Told) -> None:
    claim = claimed()
    assert await told.call(**claim)
    assert not await told.call(**{**claim, "digest": b"another"})
    assert await told.call(BOB, **claim)
    assert (await told.ended(), await told.count()) == (2, 1)


@pytest.mark.parametrize(("breaks", "expected"), [("before", (0, 1)), ("behind", (1, 0))])
async def test_a_beginning_whose_fate_is_not_known_is_told_once_it_is(
    told: Told, breaks: str, expected: tuple[int, int]
) -> None:
    told.store.breaks = breaks
    assert not await told.call()
    assert (await told.ended(), await told.count()) == expected
    # Nothing is told at once: the store may be about to have it.
    told.store.breaks = ""


async def test_while_the_store_is_away_nobody_knows_and_nothing_is_told(told: Told) -> None:
    told.store.breaks = "behind"
    assert not await told.call()
    told.store.away = True
    assert await told.count() == 0
    told.store.away = False
    assert (await told.ended(), await told.count()) == (1, 0)


@pytest.mark.parametrize("breaks", ["", "before", "behind"])
async def test_a_caller_who_goes_away_while_it_begins(told: Told, breaks: str) -> None:
    told.store.breaks = breaks
    told.store.begin_gate.clear()
    task = asyncio.create_task(told.call())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if breaks != "before":
        # It is still under way.
        assert await told.count() == 0
    told.store.begin_gate.set()
    await told.settled()
    assert (await told.ended(), await told.count()) == ((0, 1) if breaks == "before" else (1, 0))


async def test_a_caller_who_goes_away_while_an_earlier_call_is_found(told: Told) -> None:
    claim = claimed()
    first = await told.call(**claim)
    told.store.begin_gate.clear()
    task = asyncio.create_task(told.call(**claim))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    told.store.begin_gate.set()
    await told.settled()
    assert first
    assert (await told.ended(), await told.count()) == (1, 0)


@pytest.mark.parametrize("breaks", ["", "before", "behind"])
async def test_going_away_at_any_moment_is_told_once(breaks: str) -> None:
    for steps in range(12):
        store = UncertainStore()
        async with chat(store) as made:
            told = Told(made, store)
            store.breaks = breaks
            task = asyncio.create_task(told.call())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            came = steps > 0
            with suppress(asyncio.CancelledError):
                await task
            await told.settled()
            generations, calls = await told.ended(), await told.count()
            assert generations + calls == came, f"behind {steps} steps"
            assert {kept.generation.state for kept in store._kept.values()} <= {
                State.COMPLETED,
                State.INTERRUPTED,
            }
