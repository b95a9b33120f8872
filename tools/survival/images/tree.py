"""What the object store holds, read past the suite, and where it may hold it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from services.capabilities.blobs.ports import Blobs
from tools.survival.images.index import Row

_LARGEST = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Found:
    """An object. `data` is there for texts only."""

    content_type: str
    sha256: str
    data: bytes


Tree = Mapping[str, Found]


async def tree_of(blobs: Blobs) -> Tree:
    """All objects, by key."""
    found = {}
    async for entry in blobs.list(""):
        blob = await blobs.get(entry.key, _LARGEST)
        if blob is not None:
            data = b"" if entry.key.endswith(".png") else blob.data
            found[entry.key] = Found(blob.content_type, hashlib.sha256(blob.data).hexdigest(), data)
    return found


def folder_of(row: Row) -> str:
    """The tree of an image."""
    return f"requests/{row.day:%Y/%m/%d}/{row.image_id}/"


def history_of(row: Row) -> str:
    """The history that its line is in."""
    return f"users/{row.user_id}/image/history/{row.day:%Y/%m/%d}.jsonl"


def hold_tree(index: Mapping[str, Row], tree: Tree) -> list[str]:
    """The objects are those of the index, key for key, and say what it says; what does not hold."""
    types: dict[str, str] = {}
    for row in index.values():
        folder = folder_of(row)
        types |= {
            f"{folder}input.json": "application/json",
            f"{folder}record.json": "application/json",
            f"{folder}image/original.png": "image/png",
            f"derived/{row.image_id}/thumbnail.png": "image/png",
        }
        if row.user_id:
            types[history_of(row)] = "application/x-ndjson"
    faults = [f"{key} is missing" for key in sorted(types.keys() - tree.keys())]
    # The history of a day stays, without lines, when the last of its images was removed.
    empty = {key for key, one in tree.items() if key.endswith(".jsonl") and not one.data}
    faults += [
        f"{key} belongs to no image of the index" for key in sorted(tree.keys() - types.keys() - empty)
    ]
    faults += [
        f"{key} is {tree[key].content_type}"
        for key, content_type in types.items()
        if key in tree and tree[key].content_type != content_type
    ]
    for row in index.values():
        faults += _hold_image(row, tree)
    return faults + hold_history(index, tree)


def _hold_image(row: Row, tree: Tree) -> list[str]:
    original = tree.get(f"{folder_of(row)}image/original.png")
    faults = []
    if original is not None and original.sha256 != row.sha256:
        faults.append(f"the object of {row.image_id} has another SHA-256 than the index")
    for name, wanted in (
        ("record.json", {"id": row.image_id, "user_id": row.user_id or None, "sha256": row.sha256}),
        ("input.json", {"id": row.image_id, "user_id": row.user_id or None}),
    ):
        key = f"{folder_of(row)}{name}"
        if key in tree:
            said = msgspec.json.decode(tree[key].data)
            faults += [
                f"{key} has another {field}" for field, value in wanted.items() if said.get(field) != value
            ]
    return faults


def hold_history(index: Mapping[str, Row], tree: Tree) -> list[str]:
    """Each image of a person has one line in its history, and nothing else has one."""
    wanted = Counter((history_of(row), row.image_id) for row in index.values() if row.user_id)
    found: Counter[tuple[str, str]] = Counter()
    for key, one in tree.items():
        if key.endswith(".jsonl"):
            found.update((key, msgspec.json.decode(line)["id"]) for line in one.data.splitlines())
    faults = [f"{key} has no line of {image_id}" for key, image_id in sorted((wanted - found).keys())]
    return faults + [
        f"{key} has {found[key, image_id]} lines of {image_id}, of which {wanted[key, image_id]} should be there"
        for key, image_id in sorted((found - wanted).keys())
    ]


def lines_of(tree: Tree) -> int:
    """How many lines all histories have."""
    return sum(len(one.data.splitlines()) for key, one in tree.items() if key.endswith(".jsonl"))


def trees_of(tree: Tree) -> int:
    """How many images have an original."""
    return sum(key.endswith("/image/original.png") for key in tree)
