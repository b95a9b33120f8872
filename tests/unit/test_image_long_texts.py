"""The images of a JSON answer are taken out of it while it comes, and nothing else is changed."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.image.providers.long_texts import LongTexts, NotBase64, NotShort, TooLong

LIMIT = 1_000_000
data = st.binary(min_size=9, max_size=20).map(lambda part: part * 2000)
cuts = st.tuples(st.integers(1, 9), st.integers(1000, 70_000))


def read(document: bytes, cuts: Iterable[int] = (65_536,), limit: int = LIMIT) -> LongTexts:
    """A document that came in blocks of these sizes, again and again."""
    long, start = LongTexts(limit), 0
    sizes = list(cuts)
    while start < len(document):
        size = sizes[0]
        sizes = [*sizes[1:], size]
        long.add(document[start : start + size])
        start += size
    return long


@given(
    st.lists(st.tuples(st.text(max_size=20), data | st.binary(max_size=20)), max_size=3), st.booleans(), cuts
)
def test_what_is_left_has_all_short_texts_and_the_way_to_the_bytes(
    parts: list[tuple[str, bytes]], escaped: bool, cuts: tuple[int, int]
) -> None:
    document = msgspec.json.encode({"data": [(text, base64.b64encode(one).decode()) for text, one in parts]})
    if escaped:
        document = document.replace(b"/", b"\\/")
    long = read(document, cuts)
    found = msgspec.json.decode(long.end())["data"]
    assert [text for text, _ in found] == [text for text, _ in parts]
    assert len(long.rest) < 5000
    assert long.held_bytes == sum(len(one) for _, one in parts if len(one) > 20)
    for (_, mark), (_, one) in zip(found, parts, strict=True):
        assert long.is_long(mark) is (len(one) > 20)
        assert long.take(mark) == one
    assert long.held_bytes == 0


@given(st.binary(max_size=200), st.integers(1, 9))
def test_what_is_no_json_stays_so(data: bytes, cut: int) -> None:
    assert read(data, [cut]).end() == data


@pytest.mark.parametrize(
    "text",
    [
        "A" * 40_001,
        "A" * 20_000 + "=" * 4 + "A" * 20_000,
        "A" * 39_998 + "==" + "A" * 4,
        "A" * 40_000 + "=",
        "-" * 40_000,
    ],
)
def test_a_long_text_that_is_no_base64_is_told_when_it_is_wanted(text: str) -> None:
    for cut in (1000, 1003):
        long = read(msgspec.json.encode([text, "iVBO"]), [cut])
        mark, short = msgspec.json.decode(long.end())
        assert long.take(short) == b"\x89PN"
        with pytest.raises(NotBase64):
            long.take(mark)


def test_of_a_text_that_is_too_long_nothing_is_held() -> None:
    long = read(msgspec.json.encode([base64.b64encode(bytes(30_001)).decode()]), limit=30_000)
    assert long.held_bytes == 0
    with pytest.raises(TooLong):
        long.take(msgspec.json.decode(long.end())[0])


@pytest.mark.parametrize(
    "document", [b'"",' * 20_000, b" " * 2_000_000, b"[" * 2_000_000, b'"' + b'\\"' * 9000]
)
def test_what_is_not_mostly_images_is_given_to_no_parser(document: bytes) -> None:
    with pytest.raises(NotShort):
        read(document)


def test_no_text_takes_long_to_read_whatever_is_escaped_in_it() -> None:
    for text in (b"\\" * 22_000_000, b"\\\\\\/" * 5_500_000):
        began = time.thread_time()
        long = read(b'["' + text + b'"]')
        assert time.thread_time() - began < 1
        assert long.held_bytes == 0


@pytest.mark.parametrize("mark", ["\x010", "\x01-1", "\x01x", "\x01" + "9" * 5000, "\x01"])
def test_a_mark_of_somebody_elses_is_none(mark: str) -> None:
    with pytest.raises(NotBase64):
        read(b"{}").take(mark)
