"""A person's history of a day: a text of JSON lines that several processes edit, each knowing only a part of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.capabilities.blobs.ports import Blobs
from services.image.generation.objects import JSON_LINES, history_line
from services.image.model import Image
from services.kernel.errors import Unavailable

LARGEST_BYTES = 64 * 1024**2
"""No history grows beyond this: a line has some 500 bytes, one of the longest prompt 16 kB, and each edit reads and writes all of them."""
_ATTEMPTS = 20
# As we write them.
_BEGIN = b'{"id":"'


@dataclass(frozen=True, slots=True)
class Edited:
    """A history behind an edit, and how many lines have found no room in it."""

    text: bytes
    left_out: int = 0


async def edit(blobs: Blobs, key: str, add: Sequence[Image], remove: Collection[str], largest: int) -> int:
    """Have a line for each image to add, once, and none for the ids to remove; whatever else stands there stays.

    Repeating it changes nothing. Returns how many of these changes were left out: lines with which the file would have more than `largest`
    bytes, and all of them when it has more already, which none that we wrote has. Raises Unavailable, also when others keep changing the
    file meanwhile.
    """
    for _ in range(_ATTEMPTS):
        try:
            found = await blobs.get(key, largest)
        except ValueError:
            return len(add) + len(remove)
        old = b"" if found is None else found.data
        # The lines of a long day take a while, in small steps between which the loop has its turns.
        new = await asyncio.to_thread(edited, old, add, remove, largest)
        if new.text is old:
            return new.left_out
        if found is None:
            if await blobs.create(key, new.text, JSON_LINES):
                return new.left_out
        elif await blobs.replace(key, new.text, JSON_LINES, found.version):
            return new.left_out
    raise Unavailable("the history of this day is being changed by many at once; try again")


def edited(old: bytes, add: Sequence[Image], remove: Collection[str], largest: int = LARGEST_BYTES) -> Edited:
    """The text with these images' lines at its end, in their order, as far as it then has no more than `largest` bytes, and without those
    of the ids to remove; the very same object when nothing changes."""
    gone = {image_id.encode() for image_id in remove}
    new = {image.image_id.encode(): image for image in add if image.image_id not in remove}
    kept: list[bytes] = []
    size = removed = 0
    for line in io.BytesIO(old):
        image_id = _image_id(line)
        if image_id in gone:
            removed += 1
            continue
        new.pop(image_id, None)
        kept.append(line)
        size += len(line)
    if kept and not kept[-1].endswith(b"\n"):
        kept.append(b"\n")
        size += 1
    added = 0
    for image in new.values():
        line = history_line(image)
        if size + len(line) <= largest:
            kept.append(line)
            size += len(line)
            added += 1
    # Many bytes are joined without keeping the other threads waiting.
    text = b"".join(kept) if removed or size != len(old) else old
    return Edited(text, len(new) - added)


def _image_id(line: bytes) -> bytes:
    """Whose line it is; empty for what somebody else wrote. It is looked at as we write it: to read all lines of a long day takes too
    long."""
    return line[len(_BEGIN) : line.find(b'"', len(_BEGIN))] if line.startswith(_BEGIN) else b""
