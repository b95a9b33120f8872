"""What the survival rounds of Speech notice: each difference between table, objects, what was heard and usage is told."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from antiphon.speech.v1 import speech_pb2

from tools.survival.speech.audio import Digest
from tools.survival.speech.callers import Caller, Hearing
from tools.survival.speech.holding import hold_callers, hold_generations, hold_hearings
from tools.survival.speech.tables import Made, Row
from tools.survival.speech.tree import Found, hold_tree
from tools.survival.speech.wishes import Way, Wish, wishes

DAY = date(2026, 11, 30)
FOLDER = "requests/2026/11/30/c1"
KEY = f"{FOLDER}/audio/original.wav"
HEADER = bytes(44)
SAMPLES = b"\1\2" * 500


def audio(data: bytes, format_: str = "wav") -> Any:
    digest = Digest(format_)
    # As it comes, in pieces.
    for place in range(0, len(data), 10):
        digest.add(data[place : place + 10])
    return digest.audio


AUDIO = audio(HEADER + SAMPLES)
ROW = Row("c1", "ana", DAY, "Number0", "wav", 7, 1000, 0.5, AUDIO.size, AUDIO.sha256, KEY, "", "r1")
MADE = Made("c1", "ana", "r1", "Synthesize", "completed", "e1", "ana", "espeak-ng", 1, 7, 7, 500)
UNMADE = MADE._replace(generation_id="c0", state="cancelled", event_id="e0", characters=0, milliseconds=0)


def document(**changes: object) -> Found:
    said = {
        "id": "c1",
        "user_id": "ana",
        "request_id": "r1",
        "text": "Number0",
        "sha256": AUDIO.sha256,
        "s3_key": KEY,
        "s3_bucket": None,
        "timeline": {"bytes": [1044], "samples": [500], "words": []},
        **changes,
    }
    data = json.dumps(said).encode()
    return Found("application/json", audio(data), data)


def tree() -> dict[str, Found]:
    return {
        f"{FOLDER}/input.json": document(),
        f"{FOLDER}/record.json": document(),
        KEY: Found("audio/wav", AUDIO),
    }


def caller(*hearings: Hearing, way: Way = Way.UNARY, **changes: Any) -> Caller:
    """One who was told of that conversion."""
    wish = Wish("token", "Number0", "wav", way, True, False, None, None, 0.0)
    told = speech_pb2.Conversion(
        conversion_id="c1",
        user_id="ana",
        text="Number0",
        character_count=7,
        duration_seconds=0.5,
        file_size_bytes=AUDIO.size,
        sha256=AUDIO.sha256,
        s3_key=KEY,
    )
    made = Caller(wish, ["there"], random.Random(0), conversion=told, hearings=list(hearings))
    made.request_id = "r1"
    return replace(made, **changes) if changes else made


def test_what_agrees_is_no_fault() -> None:
    # The header of a stream says another length.
    heard = caller(Hearing("c1", 500_000_000, 1, 1044, audio(bytes([255]) * 44 + SAMPLES)))
    rows = {"c1": ROW}
    assert hold_tree(rows, tree()) == []
    assert hold_callers(rows, [heard]) == []
    assert hold_hearings(rows, tree(), [heard]) == []
    assert hold_generations(rows, tree(), [UNMADE, MADE], [heard]) == []


@pytest.mark.parametrize("key", sorted(tree()))
def test_an_object_that_is_missing_is_told(key: str) -> None:
    objects = tree()
    del objects[key]
    assert f"{key} is missing" in hold_tree({"c1": ROW}, objects)


@pytest.mark.parametrize(
    ("key", "found", "told"),
    [
        (KEY, Found("audio/wav", audio(b"another")), "another size or SHA-256"),
        (KEY, Found("audio/mpeg", AUDIO), "is audio/mpeg"),
        (f"{FOLDER}/record.json", document(sha256=""), "record.json has another sha256"),
        (f"{FOLDER}/input.json", document(text="Number1"), "input.json has another text"),
        (f"{FOLDER}/audio/original.mp3", Found("audio/mpeg", AUDIO), "belongs to no conversion"),
    ],
)
def test_an_object_that_says_something_else_is_told(key: str, found: Found, told: str) -> None:
    assert any(told in fault for fault in hold_tree({"c1": ROW}, tree() | {key: found}))


@pytest.mark.parametrize(
    ("rows", "one", "told"),
    [
        ([], caller(), "is not in the table"),
        ([ROW], caller(deleted=True), "was deleted, and is in the table"),
        ([ROW, ROW._replace(conversion_id="c2")], caller(), "one caller has 2 conversions"),
        ([ROW._replace(duration_seconds=0.6)], caller(), "another conversion than its caller was told"),
        ([ROW, ROW._replace(conversion_id="c2", text="Other")], caller(), "1 conversions are of 'Other'"),
        ([], caller(conversion=None), "was told nothing"),
    ],
)
def test_a_table_that_is_not_what_callers_were_told_is_told(rows: list[Row], one: Caller, told: str) -> None:
    faults = hold_callers({row.conversion_id: row for row in rows}, [one])
    assert any(told in fault for fault in faults)


def test_a_stream_that_was_not_what_is_stored_is_told() -> None:
    one = caller(Hearing("c1", 500_000_000, 1, 1044, audio(HEADER + b"\2\1" * 500)))
    assert hold_hearings({"c1": ROW}, tree(), [one]) == ["what was heard of c1 (wav) is not what is stored"]


@pytest.mark.parametrize(
    ("generations", "told"),
    [
        ([], "c1 is in the table, and was not completed"),
        ([MADE, MADE._replace(generation_id="c2")], "c2 was completed, and is not in the table"),
        ([MADE, MADE._replace(generation_id="c2")], "2 conversions were made for the request_id r1"),
        ([MADE._replace(characters=6)], "6 and 500 ms were metered"),
        ([MADE._replace(milliseconds=501)], "501 ms were metered"),
        ([MADE, UNMADE._replace(characters=7)], "7 characters were metered, and no audio"),
        ([MADE, UNMADE._replace(characters=8)], "has 7 characters; 8 were metered"),
    ],
)
def test_generations_that_are_not_what_was_made_are_told(generations: list[Made], told: str) -> None:
    faults = hold_generations({"c1": ROW}, tree(), generations, [caller()])
    assert any(told in fault for fault in faults)


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (99, "100 ms of c0 were heard; 99 were metered"),
        (5000, ""),
        (60_000, ""),
    ],
)
def test_of_a_stream_that_was_left_what_was_heard_has_to_be_metered(milliseconds: int, told: str) -> None:
    left = UNMADE._replace(operation="StreamSynthesize", milliseconds=milliseconds)
    one = caller(Hearing("c0", 100_000_000, 1, 4000), way=Way.STREAM)
    faults = hold_generations({"c1": ROW}, tree(), [MADE, left], [one])
    assert faults == ([told] if told else [])


def test_no_two_callers_ask_for_the_same_text() -> None:
    chance = random.Random(0)
    made = [wish for first in (0, 50) for wish in wishes(["token"], 50, chance, first)]
    assert len({wish.text for wish in made}) == 100
    assert max(len(wish.text) for wish in made) == 20_000
    assert all(len(wish.text) <= 10_000 for wish in made if not wish.token)
