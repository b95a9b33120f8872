"""The objects of a folder in the order of their keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from services.capabilities.blobs.errors import StoreRefuses
from services.capabilities.blobs.model import LONGEST_KEY, is_segment
from services.capabilities.blobs.ports import Entry
from services.capabilities.blobs.stores.file import opened
from services.capabilities.blobs.stores.tree import Tree

_AT_ONCE = 500


def walked(tree: Tree, segments: Sequence[str]) -> Iterator[Entry]:
    """The objects below these segments. Holds the names of one folder at each depth, and nothing open between two entries."""
    prefix = "".join(f"{segment}/" for segment in segments)
    if len(prefix) >= LONGEST_KEY:
        return
    names = _names(tree, segments)
    for start in range(0, len(names), _AT_ONCE):
        batch = names[start : start + _AT_ONCE]
        files = _files(tree, segments, prefix, [name for name in batch if not name.endswith("/")])
        for name in batch:
            if name.endswith("/"):
                yield from walked(tree, [*segments, name[:-1]])
            elif name in files:
                yield files[name]


def _names(tree: Tree, segments: Sequence[str]) -> list[str]:
    """What is in a folder, in the order in which its keys come; a folder's name ends with `/`."""
    with tree.folder(segments) as folder:
        if folder is None:
            return []
        with os.scandir(folder) as found:
            return sorted(
                f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in found
                if is_segment(entry.name) and not entry.is_symlink()
            )


def _files(tree: Tree, segments: Sequence[str], prefix: str, names: Sequence[str]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    with tree.folder(segments) as folder:
        if folder is None:
            return entries
        for name in names:
            try:
                file = opened(prefix + name, name, folder)
            except StoreRefuses:
                continue
            if file is not None:
                file.close()
                entries[name] = Entry(prefix + name, file.size, datetime.fromtimestamp(file.modified, UTC))
    return entries
