"""A flush that was given up leaves no hole in the record, whatever else happens to its generation."""

from __future__ import annotations

import pytest

import services.chat.generation.writer as writer_module
from services.chat.model import Event, Lease, State
from services.chat.ports import Flush
from services.kernel.errors import Unavailable
from tests.fakes.chat_play import ALICE, Chat, SlowStore, chat, is_dense, until


class Flaky(SlowStore):
    """Refuses so many appends, as a database does that is away and back."""

    failures = 0

    async def append(self, lease: Lease, flushes: list[Flush]) -> set[str]:  # type: ignore[override]
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        return await super().append(lease, flushes)


async def lost(it: Chat, store: Flaky, *, cancelled: bool) -> list[Event]:
    """A generation whose second word could not be stored, while its third one waited behind it."""
    id_ = await it.begin()
    play = it.play
    play.say("one ")
    await it.durable(id_, 2)
    store.failures = 2
    play.say("TWO ")
    await until(lambda: store.failures < 2)
    play.say("three ")
    if cancelled:
        it.generations.cancel_soon(id_)
    generation = await it.ended(id_)
    assert generation.state is State.INTERRUPTED
    events = list(await store.events(id_, 0, 100))
    assert generation.text == "one "
    assert generation.last_seq == events[-1].seq
    return events


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_comes_behind_a_flush_that_was_given_up_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_SECONDS", (0.05,))
    store = Flaky()
    async with chat(store) as it:
        events = await lost(it, store, cancelled=cancelled)
        assert is_dense(events)
        assert [usage.error_reason for usage in store.usage] == ["GENERATION_INTERRUPTED"]
    assert it.generations.live(ALICE.user_id) is None
