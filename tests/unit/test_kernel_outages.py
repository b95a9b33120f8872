"""How something that is away is waited for, and told of."""

from __future__ import annotations

from services.kernel.outages import Outage


def outage(told: list[str], **more: float) -> Outage:
    return Outage(told.append, lambda: told.append("back"), **more)


def test_one_failure_is_nothing_to_tell() -> None:
    told: list[str] = []
    one = outage(told)
    one.pause("away")
    one.over()
    assert told == []


def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    told: list[str] = []
    one = outage(told)
    for number in range(10):
        one.pause(f"attempt {number}")
    one.over()
    one.over()
    assert told == ["attempt 1", "back"]
    one.pause("again")
    one.pause("again")
    assert told == ["attempt 1", "back", "again"]


def test_pauses_double_up_to_the_longest_and_begin_anew_after_it_worked() -> None:
    one = outage([], first=1.0, longest=5.0)
    assert [one.pause("") for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    one.over()
    assert one.pause("") == 1.0


def test_jitter_takes_some_part_of_each_pause() -> None:
    pauses = [outage([], first=1.0, jitter=0.5).pause("") for _ in range(200)]
    assert 0.5 <= min(pauses) < 0.6
    assert 0.9 < max(pauses) <= 1.0
