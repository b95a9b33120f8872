"""What the survival rounds of Image notice: each difference between index, objects, histories and usage is told."""

from __future__ import annotations

import hashlib
import json
from datetime import date

import pytest

from tools.survival.images.holding import hold_generations
from tools.survival.images.index import Made, Row
from tools.survival.images.tree import Found, hold_tree

DAY = date(2026, 11, 30)
PIXELS = hashlib.sha256(b"pixels").hexdigest()
ANA = Row("i1", "g1", "ana", DAY, PIXELS, 6)
NOBODY = Row("i2", "g2", "", DAY, PIXELS, 6)
INDEX = {row.image_id: row for row in (ANA, NOBODY)}
HISTORY = "users/ana/image/history/2026/11/30.jsonl"
HIS_HISTORY = "users/ben/image/history/2026/11/30.jsonl"
RECORD = "requests/2026/11/30/i1/record.json"
ORIGINAL = "requests/2026/11/30/i1/image/original.png"


def found(content_type: str, data: bytes) -> Found:
    return Found(content_type, hashlib.sha256(data).hexdigest(), b"" if content_type == "image/png" else data)


def tree() -> dict[str, Found]:
    """What belongs to that index."""
    objects = {HISTORY: found("application/x-ndjson", b'{"id":"i1"}\n')}
    for row in INDEX.values():
        said = json.dumps({"id": row.image_id, "user_id": row.user_id or None, "sha256": row.sha256}).encode()
        folder = f"requests/2026/11/30/{row.image_id}"
        objects |= {
            f"{folder}/input.json": found("application/json", said),
            f"{folder}/record.json": found("application/json", said),
            f"{folder}/image/original.png": found("image/png", b"pixels"),
            f"derived/{row.image_id}/thumbnail.png": found("image/png", b"small"),
        }
    return objects


def test_what_agrees_is_no_fault() -> None:
    assert hold_tree(INDEX, tree()) == []
    # Ben has removed all that he made on that day.
    assert hold_tree(INDEX, tree() | {HIS_HISTORY: found("application/x-ndjson", b"")}) == []


@pytest.mark.parametrize("key", sorted(tree()))
def test_an_object_that_is_missing_is_told(key: str) -> None:
    objects = tree()
    del objects[key]
    assert f"{key} is missing" in hold_tree(INDEX, objects)


@pytest.mark.parametrize(
    ("key", "content_type", "data", "told"),
    [
        (ORIGINAL, "image/png", b"others", "the object of i1 has another SHA-256 than the index"),
        (ORIGINAL, "image/jpeg", b"pixels", f"{ORIGINAL} is image/jpeg"),
        (RECORD, "application/json", b'{"id":"i1","user_id":"ana"}', f"{RECORD} has another sha256"),
        (HISTORY, "application/x-ndjson", b'{"id":"i1"}\n' * 2, f"{HISTORY} has 2 lines of i1"),
        (HISTORY, "application/x-ndjson", b'{"id":"i1"}\n{"id":"i2"}\n', f"{HISTORY} has 1 lines of i2"),
        (HISTORY, "application/x-ndjson", b"", f"{HISTORY} has no line of i1"),
        ("derived/i3/thumbnail.png", "image/png", b"", "belongs to no image of the index"),
        (HIS_HISTORY, "application/x-ndjson", b'{"id":"i1"}\n', "belongs to no image"),
    ],
)
def test_an_object_that_says_something_else_is_told(
    key: str, content_type: str, data: bytes, told: str
) -> None:
    faults = hold_tree(INDEX, tree() | {key: found(content_type, data)})
    assert any(told in fault for fault in faults)


def made(generation_id: str, image_id: str, state: str = "completed", request_id: str = "") -> Made:
    return Made(
        generation_id, "ana", request_id, state, f"e-{generation_id}", "ana", "procedural", 1, 1, [image_id]
    )


@pytest.mark.parametrize(
    ("generations", "told"),
    [
        ([made("g1", "i1"), made("g2", "i2")], ""),
        ([made("g1", "i1"), made("g2", "i2"), made("g3", "i3")], "1 images of completed generations"),
        ([made("g1", "i1"), made("g2", "i2", "interrupted")], "i2 is in the index, and was not completed"),
        ([made("g1", "i2"), made("g2", "i1")], "for a generation that is not its own"),
        ([made("g1", "i1", request_id="r"), made("g2", "i2", request_id="r")], "2 sets of images"),
    ],
)
def test_generations_and_the_index_that_differ_are_told(generations: list[Made], told: str) -> None:
    faults = hold_generations(INDEX, generations, deleted=0)
    assert any(told in fault for fault in faults) if told else faults == []
