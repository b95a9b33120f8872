"""Which new passwords are allowed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.model.accounts import folded
from services.auth.ports.accounts import PasswordRules
from services.auth.providers.password_rules import AnyPassword, CommonPasswords, common_passwords
from services.kernel.errors import InvalidArgument


def refused(rules: PasswordRules, password: str) -> list[str]:
    """The fields that are complained about."""
    try:
        rules.check("new_password", password)
    except InvalidArgument as error:
        return [violation.field for violation in error.violations]
    return []


@pytest.mark.parametrize(
    "password",
    [
        "password1",
        "PASSWORD1",
        "PassWord1",
        " password1 ",
        "ｐａｓｓｗｏｒｄ１",
        "12345678",
        "iloveyou",
        "QWERTYUIOP",
    ],
)
def test_a_common_password_is_refused_however_it_is_written(password: str) -> None:
    assert refused(CommonPasswords(), password) == ["new_password"]
    assert refused(AnyPassword(), password) == []


@pytest.mark.parametrize(
    "password", ["correct horse", "password1-and-more", "Ünïcödé wörds", "𝕎" * 8 + "x!7q"]
)
def test_another_password_is_allowed(password: str) -> None:
    assert refused(CommonPasswords(), password) == []


@pytest.mark.parametrize("password", ["eight\0chars", "half \ud83d of a pair", "\udcff from a terminal"])
@pytest.mark.parametrize("rules", [AnyPassword(), CommonPasswords()], ids=["any", "common"])
def test_what_is_no_text_is_refused(rules: PasswordRules, password: str) -> None:
    assert refused(rules, password) == ["new_password"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_of_one_form_is_judged_like_its_other_forms(password: str) -> None:
    assert refused(AnyPassword(), password) == []
    assert refused(CommonPasswords(), password) == refused(CommonPasswords(), folded(password))


@given(st.sampled_from(sorted(common_passwords())), st.integers(min_value=0))
def test_case_makes_no_other_password(password: str, pattern: int) -> None:
    shouted = "".join(
        character.upper() if pattern >> place & 1 else character for place, character in enumerate(password)
    )
    assert refused(CommonPasswords(), shouted) == ["new_password"]


def test_the_list_has_what_the_contract_allows_in_the_form_that_is_looked_up() -> None:
    passwords = common_passwords()
    assert 10_000 <= len(passwords) <= 15_000
    assert all(len(password) >= 8 and folded(password) == password for password in passwords)


def test_the_list_is_read_when_it_is_needed_and_not_before() -> None:
    program = (
        "from services.auth.providers import password_rules as rules; rules.CommonPasswords();"
        "assert rules.common_passwords.cache_info().currsize == 0;"
        "rules.CommonPasswords().check('password', 'correct horse');"
        "assert rules.common_passwords.cache_info().currsize == 1"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
