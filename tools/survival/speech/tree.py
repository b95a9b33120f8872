"""What the object store holds, read past the suite, and where it may hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from services.capabilities.blobs.ports import Blobs
from tools.survival.speech.audio import Audio, Digest
from tools.survival.speech.tables import Row

_JSON = "application/json"
_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "ogg": "audio/ogg", "flac": "audio/flac"}


@dataclass(frozen=True, slots=True)
class Found:
    """An object. `data` is there for texts only."""

    content_type: str
    audio: Audio
    data: bytes = b""


Tree = Mapping[str, Found]


async def tree_of(blobs: Blobs) -> Tree:
    """All objects, by key."""
    found = {}
    async for entry in blobs.list(""):
        digest, texts = Digest(entry.key.rpartition(".")[2]), []
        async with blobs.open(entry.key) as opened:
            if opened is None:
                continue
            async for chunk in opened.chunks:
                digest.add(chunk)
                if opened.content_type == _JSON:
                    texts.append(chunk)
            found[entry.key] = Found(opened.content_type, digest.audio, b"".join(texts))
    return found


def folder_of(row: Row) -> str:
    """The tree of a conversion."""
    return f"requests/{row.day:%Y/%m/%d}/{row.conversion_id}/"


def hold_tree(rows: Mapping[str, Row], tree: Tree) -> list[str]:
    """The objects are those of the table, key for key, and say what it says; what does not hold."""
    types: dict[str, str] = {}
    for row in rows.values():
        folder = folder_of(row)
        types |= {
            f"{folder}input.json": _JSON,
            f"{folder}record.json": _JSON,
            f"{folder}audio/original.{row.format}": _TYPES[row.format],
        }
    faults = [f"{key} is missing" for key in sorted(types.keys() - tree.keys())]
    faults += [f"{key} belongs to no conversion of the table" for key in sorted(tree.keys() - types.keys())]
    faults += [
        f"{key} is {tree[key].content_type}"
        for key, content_type in types.items()
        if key in tree and tree[key].content_type != content_type
    ]
    return faults + [fault for row in rows.values() for fault in _hold_conversion(row, tree)]


def samples_of(row: Row, tree: Tree) -> int | None:
    """How many samples the record of a conversion tells of; None when it has none."""
    record = tree.get(f"{folder_of(row)}record.json")
    if record is None:
        return None
    samples: list[int] = msgspec.json.decode(record.data)["timeline"]["samples"]
    return sum(samples)


def trees_of(tree: Tree) -> int:
    """How many conversions have an audio."""
    return sum("/audio/original." in key for key in tree)


def _hold_conversion(row: Row, tree: Tree) -> list[str]:
    folder = folder_of(row)
    audio = tree.get(f"{folder}audio/original.{row.format}")
    faults = []
    if row.s3_key != f"{folder}audio/original.{row.format}":
        faults.append(f"{row.conversion_id} is said to be at {row.s3_key}")
    if audio is not None and (audio.audio.size, audio.audio.sha256) != (row.size_bytes, row.sha256):
        faults.append(f"the audio of {row.conversion_id} has another size or SHA-256 than the table")
    user_id = None if row.user_id == "anonymous" else row.user_id
    asked = {
        "id": row.conversion_id,
        "user_id": user_id,
        "request_id": row.request_id or None,
        "text": row.text,
    }
    made = {**asked, "sha256": row.sha256, "s3_key": row.s3_key, "s3_bucket": row.s3_bucket or None}
    for name, wanted in (("input.json", asked), ("record.json", made)):
        if (found := tree.get(folder + name)) is not None:
            said = msgspec.json.decode(found.data)
            faults += [
                f"{folder}{name} has another {field}"
                for field, value in wanted.items()
                if said.get(field) != value
            ]
    return faults
