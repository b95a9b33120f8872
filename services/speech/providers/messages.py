"""What the server and its speech workers tell one another, beside audio: tasks, batches, the ending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.infra.workers.frames import Answer
from services.speech.model import Batch, Ending, Patch, Piece, Voice, Word
from services.speech.ports import Task


def task_body(task: Task) -> bytes:
    """As the body of a job."""
    return msgspec.json.encode(task)


def task_of(body: bytes) -> Task:
    """What `task_body` made."""
    return msgspec.json.decode(body, type=Task)


def voices_body(voices: Sequence[Voice]) -> bytes:
    """As the body of an answer."""
    return msgspec.json.encode(voices)


def voices_of(body: bytes) -> list[Voice]:
    """What `voices_body` made."""
    return msgspec.json.decode(body, type=list[Voice])


def answer_of(told: Batch | Ending) -> Answer:
    """As an answer; an ending's body is that of its patches, one behind the other."""
    if isinstance(told, Batch):
        header: Mapping[str, Any] = {
            "sample_rate": told.sample_rate,
            "pieces": [(piece.data_bytes, piece.samples) for piece in told.pieces],
            "words": [(word.text, word.offset, word.start, word.end) for word in told.words],
            "characters": told.characters,
        }
        return Answer(header, told.data)
    patches = [(patch.position, len(patch.data)) for patch in told.patches]
    header = {"sample_rate": told.sample_rate, "samples": told.samples, "patches": patches}
    return Answer(header, b"".join(patch.data for patch in told.patches))


def told_by(answer: Answer) -> Batch | Ending:
    """What `answer_of` made an answer."""
    header = answer.header
    if "pieces" in header:
        pieces = [Piece(*piece) for piece in header["pieces"]]
        words = [Word(*word) for word in header["words"]]
        return Batch(header["sample_rate"], answer.body, pieces, words, header["characters"])
    patches: list[Patch] = []
    place = 0
    for position, length in header["patches"]:
        patches.append(Patch(position, answer.body[place : place + length]))
        place += length
    return Ending(header["sample_rate"], header["samples"], patches)
