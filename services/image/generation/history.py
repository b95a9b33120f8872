"""A person's history of a day: a text of JSON lines that several processes edit, each knowing only a part of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from services.capabilities.blobs.ports import Blobs
from services.image.generation.objects import JSON_LINES, history_line
from services.image.model import Image
from services.kernel.errors import Unavailable

# A line of the longest prompt, 4,000 characters, has some 16 kB: these are 10,000 and more of a day.
LARGEST_BYTES = 256 * 1024**2
_ATTEMPTS = 20


async def edit(blobs: Blobs, key: str, add: Sequence[Image], remove: Collection[str]) -> None:
    """Have a line for each image to add, once, and none for the ids to remove; whatever else stands there stays.

    Repeating it changes nothing. Raises Unavailable, also when others keep changing the file meanwhile.
    """
    for _ in range(_ATTEMPTS):
        found = await blobs.get(key, LARGEST_BYTES)
        old = b"" if found is None else found.data
        new = edited(old, add, remove)
        if new == old:
            return
        if found is None:
            if await blobs.create(key, new, JSON_LINES):
                return
        elif await blobs.replace(key, new, JSON_LINES, found.version):
            return
    raise Unavailable("the history of this day is being changed by many at once; try again")


def edited(old: bytes, add: Sequence[Image], remove: Collection[str]) -> bytes:
    """The text with these images' lines at its end, in their order, and without those of the ids to remove."""
    text = old if not old or old.endswith(b"\n") else old + b"\n"
    for image_id in remove:
        while (span := _line_of(text, image_id)) is not None:
            text = text[: span.start] + text[span.stop :]
    new = [
        history_line(image)
        for image in {image.image_id: image for image in add}.values()
        if image.image_id not in remove and _line_of(text, image.image_id) is None
    ]
    return b"".join((text, *new)) if new or text != old else old


def _line_of(text: bytes, image_id: str) -> slice | None:
    """Where the line of an image is, with its end. It is looked for as we write it, since to read all lines of a long day would hold the
    loop; what somebody else wrote is nobody's line."""
    begin = b'{"id":"%s"' % image_id.encode()
    if text.startswith(begin):
        start = 0
    else:
        start = text.find(b"\n" + begin) + 1
        if start == 0:
            return None
    return slice(start, text.index(b"\n", start) + 1)
