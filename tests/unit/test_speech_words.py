"""The marks that the engine leaves, made into words that a reader can follow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.speech.model import Segment
from services.speech.providers.espeak.voices import language_of
from services.speech.providers.espeak.words import Mark, timed_words

marks = st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(0, 50))


@given(st.text(max_size=40), st.lists(marks, max_size=20), st.lists(st.integers(1, 50), max_size=5))
def test_words_are_in_order_apart_and_of_the_text_wherever_the_marks_are(
    text: str, places: list[tuple[int, int, int]], silences: list[int]
) -> None:
    given_marks, sample = [], 0
    for start, length, step in places:
        given_marks.append(Mark(start, length, sample))
        sample += step + 1
    ends = sorted({sum(silences[: place + 1]) for place in range(len(silences))})
    words = timed_words(Segment(text, 0), given_marks, ends, sample)
    reached, heard = 0, 0
    for word in words:
        assert reached <= word.start < word.end <= len(text)
        assert heard <= word.since < word.until <= sample
        assert text[word.start : word.end].strip() == text[word.start : word.end]
        reached, heard = word.end, word.until


def test_a_word_lasts_until_the_next_one_or_until_its_clause_ends() -> None:
    words = timed_words(Segment("one, two.", 0), [Mark(0, 3, 0), Mark(5, 3, 900)], [700, 1500], 1500)
    assert [(word.since, word.until) for word in words] == [(0, 700), (900, 1500)]


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("es", "es"),
        ("en-us", "en-US"),
        ("en-gb-x-rp", "en-GB"),
        ("en-gb-scotland", "en-GB"),
        ("en-us-nyc", "en-US"),
        ("en-029", "en-029"),
        ("es-419", "es-419"),
        ("cmn-latn-pinyin", "cmn-Latn"),
        ("chr-US-Qaaa-x-west", "chr-US"),
        ("vi-vn-x-central", "vi-VN"),
        ("ca-va", "ca"),
        ("yue-latn-hk", "yue-Latn"),
    ],
)
def test_a_language_is_a_tag_that_others_know(tag: str, language: str) -> None:
    assert language_of(tag) == language
