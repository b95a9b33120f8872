"""Turns at providers: no more at once than was said, in time or not at all, and each given back."""

from __future__ import annotations

import pytest

from services.capabilities.upstream.turns import NoTurn, Turns


async def test_a_full_provider_refuses_in_time_and_keeps_nobody_from_another() -> None:
    turns = Turns(1)
    async with turns.turn("slow", 1.0):
        with pytest.raises(NoTurn):
            async with turns.turn("slow", 0.01):
                pytest.fail("there was no turn left")
        async with turns.turn("quick", 0.01):
            pass


async def test_a_turn_that_ended_badly_is_given_back_and_its_failure_is_told_as_it_is() -> None:
    turns = Turns(1)
    with pytest.raises(TimeoutError, match="of the block"):
        async with turns.turn("slow", 0.01):
            raise TimeoutError("of the block")
    async with turns.turn("slow", 0.01):
        pass
