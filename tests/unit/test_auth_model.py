"""Laws of Auth's model."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.model.accounts import canonical_password, folded
from services.auth.model.sessions import RefreshState, Verdict, judge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRACE = timedelta(seconds=30)
offsets = st.timedeltas(min_value=timedelta(days=-60), max_value=timedelta(days=60))
states = st.builds(
    RefreshState,
    expires_at=offsets.map(lambda offset: NOW + offset),
    rotated_at=st.none() | offsets.map(lambda offset: NOW + offset),
    revoked=st.booleans(),
    disabled=st.booleans(),
)


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text())
def test_the_form_that_a_keyboard_writes_does_not_matter(text: str) -> None:
    assert folded(unicodedata.normalize("NFD", text)) == folded(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_case_of_an_email_does_not_matter(text: str) -> None:
    assert folded(text.swapcase()) == folded(text.upper()) == folded(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ana@Example.COM", "ana@example.com"),
        (" ana@example.com ", "ana@example.com"),
        ("Straße@x.de", "STRASSE@X.DE"),
        ("ｊｏｓé@x.es", "JOSÉ@X.ES"),
    ],
)
def test_one_person_is_known_by_many_spellings(one: str, other: str) -> None:
    assert folded(one) == folded(other)


def test_a_password_keeps_its_case_and_spaces_and_not_its_spelling_of_accents() -> None:
    assert canonical_password(" Contraseña") == canonical_password(" Contrasen\u0303a")
    assert canonical_password("a") != canonical_password("A")
    assert canonical_password("a ") != canonical_password("a")


@given(states)
def test_a_revoked_token_is_worth_nothing(state: RefreshState) -> None:
    if state.revoked:
        expected = Verdict.DISABLED if state.disabled else Verdict.REVOKED
        assert judge(state, NOW, GRACE) is expected


@given(states)
def test_nothing_is_given_to_the_disabled(state: RefreshState) -> None:
    if state.disabled:
        assert judge(state, NOW, GRACE) not in (Verdict.ROTATED, Verdict.REPLAYED)


@given(states)
def test_only_a_fresh_token_is_rotated_and_only_one_in_grace_replayed(state: RefreshState) -> None:
    verdict = judge(state, NOW, GRACE)
    if verdict is Verdict.ROTATED:
        assert state.rotated_at is None
        assert state.expires_at > NOW
    if verdict is Verdict.REPLAYED:
        assert state.rotated_at is not None
        assert state.rotated_at + GRACE > NOW
    if verdict is Verdict.REUSED:
        assert state.rotated_at is not None
        assert state.rotated_at + GRACE <= NOW


@given(states)
def test_without_grace_nothing_that_was_rotated_is_replayed(state: RefreshState) -> None:
    if state.rotated_at is not None and state.rotated_at <= NOW:
        assert judge(state, NOW, timedelta()) in (
            Verdict.REVOKED,
            Verdict.DISABLED,
            Verdict.EXPIRED,
            Verdict.REUSED,
        )
