"""Server-sent events, however they are cut into reads."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capabilities.upstream.errors import ProviderProtocol
from services.chat.providers.sse import EventSplitter

contents = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12).map(str.encode)
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
noise = st.sampled_from([b": keep alive", b"event: message", b"id: 7", b"retry: 10", b"unknown"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream, and the data of its events."""
    raw, data = b"", []
    for _ in range(draw(st.integers(0, 5))):
        end = draw(line_ends)
        lines = draw(st.lists(contents, min_size=1, max_size=3))
        for line in lines:
            if draw(st.booleans()):
                raw += draw(noise) + end
            # One space behind the colon is no part of the data.
            raw += (b"data: " if draw(st.booleans()) or line.startswith(b" ") else b"data:") + line + end
        raw += end * draw(st.integers(1, 2))
        data.append(b"\n".join(lines))
    return raw, data


def cut(raw: bytes, positions: list[int]) -> list[bytes]:
    ends = sorted({min(position, len(raw)) for position in positions} | {0, len(raw)})
    return [raw[a:b] for a, b in pairwise(ends)]


@given(streams(), st.lists(st.integers(0, 200), max_size=20), st.booleans())
def test_events_are_the_same_however_the_bytes_are_cut(
    stream: tuple[bytes, list[bytes]], positions: list[int], empty_reads: bool
) -> None:
    raw, expected = stream
    splitter, found = EventSplitter(10_000), list[bytes]()
    for block in cut(raw, positions):
        found += splitter.feed(block)
        if empty_reads:
            found += splitter.feed(b"")
    assert found + splitter.close() == expected


@given(streams())
def test_byte_by_byte_is_the_same_as_at_once(stream: tuple[bytes, list[bytes]]) -> None:
    raw, expected = stream
    one_by_one, at_once = EventSplitter(10_000), EventSplitter(10_000)
    found = [event for byte in raw for event in one_by_one.feed(bytes([byte]))]
    assert found == at_once.feed(raw) == expected


def test_an_event_is_told_as_soon_as_its_empty_line_is_there() -> None:
    splitter = EventSplitter(100)
    assert splitter.feed(b"data: a\r\n\r") == [b"a"]
    assert splitter.feed(b"\ndata: b\n") == []
    assert splitter.feed(b"\n") == [b"b"]


def test_the_last_event_counts_without_its_empty_line() -> None:
    splitter = EventSplitter(100)
    splitter.feed(b"data: [DONE]")
    assert splitter.close() == [b"[DONE]"]


@pytest.mark.parametrize("line", [b"data: xxxxxxxx\n", b"x", b"data:\n", b": a comment without an end "])
def test_nothing_grows_without_bound(line: bytes) -> None:
    splitter = EventSplitter(1000)
    fed = (splitter.feed(line) for _ in range(2000))
    with pytest.raises(ProviderProtocol):
        list(fed)


def test_comments_between_events_are_no_growth() -> None:
    splitter = EventSplitter(100)
    for _ in range(1000):
        splitter.feed(b": keep alive\n\n")
    assert splitter.feed(b"data: a\n\n") == [b"a"]
