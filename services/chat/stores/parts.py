"""The parts of a message as stores keep them: its texts by themselves, and beside them, where it has pictures, the order of both.

So whoever looks for words, and a process of an older version, reads the texts alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.chat.model import Image, Message, Part

Order = list[dict[str, str] | None]


def order_of(message: Message) -> Order | None:
    """A picture for each picture, and None for each text; None for a message without pictures."""
    if not message.images:
        return None
    return [None if isinstance(part, str) else _reference(part) for part in message.parts]


def parts_of(texts: Sequence[str], order: Sequence[dict[str, str] | None] | None) -> tuple[Part, ...]:
    """The parts of a message, of its texts and their order among its pictures. An order that is not of these texts counts for nothing: a process
    of an older version erases the texts, and knows of no pictures."""
    if order is None or order.count(None) != len(texts):
        return tuple(texts)
    left = iter(texts)
    return tuple([next(left) if part is None else Image(**part) for part in order])


def _reference(image: Image) -> dict[str, str]:
    return {"uri": image.uri} if image.uri else {"image_id": image.image_id}
