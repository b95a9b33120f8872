"""The images of a JSON answer are taken out of it before it is parsed, and nothing else is changed."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.image.providers.long_texts import LongTexts, NotShort

images = st.binary(min_size=3, max_size=30).map(lambda data: base64.b64encode(data * 5000).decode())


@given(st.lists(st.tuples(st.text(max_size=20), images | st.text(max_size=20)), max_size=4), st.booleans())
def test_what_is_left_has_all_short_texts_and_the_way_to_the_long_ones(
    texts: list[tuple[str, str]], escaped: bool
) -> None:
    document = msgspec.json.encode({"data": texts})
    if escaped:
        document = document.replace(b"/", b"\\/")
    long = LongTexts(bytearray(document))
    found = msgspec.json.decode(long.rest)["data"]
    assert [short for short, _ in found] == [short for short, _ in texts]
    for (_, one), (_, text) in zip(found, texts, strict=True):
        if len(text) > 20:
            assert long.is_long(one)
            assert bytes(long.of(one)) == text.encode()
        else:
            assert one == text
    assert len(long.rest) < 5000


@given(st.binary(max_size=200))
def test_what_is_no_json_stays_so(data: bytes) -> None:
    assert LongTexts(bytearray(data)).rest == data


@pytest.mark.parametrize("document", [b'"",' * 20_000, b" " * 2_000_000, b"[" * 2_000_000])
def test_what_is_not_mostly_images_is_given_to_no_parser(document: bytes) -> None:
    with pytest.raises(NotShort):
        LongTexts(bytearray(document))


@pytest.mark.parametrize("mark", ["\x010", "\x01-1", "\x01x"])
def test_a_mark_of_somebody_elses_is_none(mark: str) -> None:
    with pytest.raises(ValueError):
        LongTexts(bytearray(b"{}")).of(mark)
