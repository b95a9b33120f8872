"""What a word is, where it stands, and how well a text fits a query."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.chat.words import WORD_CHARACTERS, Wanted, folded, places, unfolded, words_in

TEXTS = st.text(st.sampled_from(list("aAbßſ_1 .-éÉİ\ufb03Σσ\u0301日本")), max_size=40)


def test_words_are_runs_without_regard_to_case() -> None:
    assert list(words_in("See services/chat/Wiring.py, don't")) == [
        "see",
        "services",
        "chat",
        "wiring",
        "py",
        "don",
        "t",
    ]
    assert list(words_in("STRASSE straße")) == ["strasse", "strasse"]
    assert list(words_in("日本語のテキスト。東京")) == ["日本語のテキスト", "東京"]
    assert Wanted.of("a b A").words == ("a", "b")
    assert Wanted.of("!? …").words == ()
    assert len(Wanted.of(" ".join(map(str, range(300)))).words) == 100


@given(TEXTS, TEXTS)
def test_a_text_has_a_query_when_it_has_all_its_words(text: str, query: str) -> None:
    wanted = Wanted.of(query)
    has_all = set(wanted.words) <= set(words_in(text))
    assert (wanted.score(text) is not None) == has_all


@given(TEXTS)
def test_each_word_has_its_places(text: str) -> None:
    looked_at = folded(text)
    expected = {
        word: [m.start() for m in re.finditer(r"\w+", looked_at) if m[0] == word] for word in words_in(text)
    }
    assert {word: list(places(looked_at, word)) for word in expected} == expected


@given(TEXTS)
def test_a_place_of_the_folded_text_leads_back(text: str) -> None:
    starts = [len(text[:index].casefold()) for index in range(len(text))]
    assert [unfolded(text, start) for start in starts] == list(range(len(text)))


def test_more_often_and_shorter_is_better() -> None:
    wanted = Wanted.of("lima")
    often, once, long = (
        wanted.score("lima lima x"),
        wanted.score("lima y x"),
        wanted.score("lima" + " x" * 50),
    )
    assert often is not None
    assert once is not None
    assert long is not None
    assert often > once > long > 0


def test_long_words_and_many_repetitions_take_no_time() -> None:
    assert Wanted.of("a").score("a" * 4_000_000) is None
    assert Wanted.of("a" * WORD_CHARACTERS).score("a" * 4_000_000) is not None
    assert Wanted.of("a b").score("a " * 2_000_000) is None
