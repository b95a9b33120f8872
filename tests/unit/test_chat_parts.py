"""The parts of a message as stores keep them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.chat.model import Image, Message, Part, Role
from services.chat.stores.parts import order_of, parts_of

PICTURE = Image(uri="https://example.org/a")
PARTS: st.SearchStrategy[list[Part]] = st.lists(st.text() | st.builds(Image, uri=st.text(min_size=1)))


def message(*parts: Part) -> Message:
    return Message(message_id="m", role=Role.USER, parts=parts)


@given(PARTS)
def test_what_was_kept_comes_back(parts: list[Part]) -> None:
    kept = message(*parts)
    assert parts_of(kept.texts, order_of(kept)) == kept.parts


@given(PARTS.filter(lambda parts: any(isinstance(part, str) for part in parts)))
def test_a_message_whose_texts_an_older_version_has_erased_has_no_pictures_either(parts: list[Part]) -> None:
    assert parts_of([], order_of(message(*parts))) == ()
