"""The piece of a message that shows why it was found."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chat.usecases.search import SNIPPET_LENGTH, snippet

FILLER = "many other words that say nothing of it "


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("Where is Lima?", "lima", "Where is Lima?"),
        ("Where\n\n  is\tLima? ", "lima", "Where is Lima?"),
        ("", "lima", ""),
        ("  ", "lima", ""),
        ("nothing of it", "lima", "nothing of it"),
    ],
)
def test_a_short_text_is_shown_whole_in_one_line(text: str, query: str, expected: str) -> None:
    assert snippet(text, query) == expected


def test_a_long_text_is_shown_around_the_word() -> None:
    shown = snippet(FILLER * 50 + "where LIMA is " + FILLER * 50, "lima")
    assert "where LIMA is many other" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) <= SNIPPET_LENGTH + 2


def test_the_place_with_most_words_is_chosen() -> None:
    text = "lima first. " + FILLER * 20 + "here lima and quito. " + FILLER * 20
    assert "here lima and quito" in snippet(text, "Quito lima")


def test_a_part_of_another_word_is_no_place() -> None:
    text = "limass and sublima. " + FILLER * 20 + "the lima itself"
    assert snippet(text, "lima").endswith("the lima itself")


def test_accents_and_case_are_found() -> None:
    text = FILLER * 20 + "un ÁRBOL grande"
    assert "ÁRBOL" in snippet(text, "árbol")
    # A capital whose small letter is two characters long moves nothing.
    assert "lima" in snippet("İ" * 300 + " the lima " + FILLER * 10, "lima")


def test_a_text_without_spaces_is_cut_between_characters() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    shown = snippet(family * 100, "x").rstrip("…")
    assert set(shown.replace(family, "")) == set()
    accents = "e\u0301" * 400
    assert snippet(accents, "x").rstrip("…").endswith("\u0301")
    assert len(snippet("日本" * 200, "日")) <= SNIPPET_LENGTH + 2


def test_what_is_very_long_takes_no_time() -> None:
    assert len(snippet("lima " * 800_000, "lima quito")) <= SNIPPET_LENGTH + 2
    assert len(snippet("l" * 4_000_000, "lima")) <= SNIPPET_LENGTH + 2
    assert len(snippet(" " * 4_000_000 + "lima", "lima")) <= SNIPPET_LENGTH + 2


WORDS = st.lists(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "Mn", "P")), min_size=1, max_size=12),
    min_size=1,
    max_size=120,
)
SPACES = st.sampled_from([" ", "\n", "  ", "\t", " \r\n "])


@given(words=WORDS, space=SPACES, data=st.data())
def test_a_snippet_is_a_piece_of_whole_words(words: list[str], space: str, data: st.DataObject) -> None:
    text = space.join(words)
    query = data.draw(st.sampled_from(words))
    shown = snippet(text, query)
    line = " ".join(text.split())
    piece = shown.removeprefix("…").removesuffix("…")
    assert len(shown) <= SNIPPET_LENGTH + 2
    assert piece in line or shown in line
    if len(line) <= SNIPPET_LENGTH:
        assert set(piece.split()) <= set(line.split()) or shown in line
    for word in piece.split():
        assert word in line.split() or "…" in word


@given(text=st.text(max_size=2000), query=st.text(max_size=60))
def test_any_text_has_a_snippet_that_is_in_it(text: str, query: str) -> None:
    shown = snippet(text, query)
    line = " ".join(text.split())
    assert len(shown) <= SNIPPET_LENGTH + 2
    assert shown == shown.strip()
    assert "\n" not in shown
    piece = shown
    if piece not in line and piece.startswith("…"):
        piece = piece[1:]
    if piece not in line and piece.endswith("…"):
        piece = piece[:-1]
    assert piece in line
    assert piece or not line
    shown.encode()


@given(
    before=st.lists(st.sampled_from(["alfa", "beta", "gamma,", "(delta)"]), max_size=400),
    after=st.lists(st.sampled_from(["alfa", "beta", "gamma,", "(delta)"]), max_size=400),
)
def test_the_word_is_always_shown(before: list[str], after: list[str]) -> None:
    shown = snippet(" ".join([*before, "Lima", *after]), "lima")
    assert re.search(r"\bLima\b", shown)
    assert not unicodedata.combining(shown[0])
