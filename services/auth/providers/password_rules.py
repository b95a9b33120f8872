"""Which new passwords are allowed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from services.auth.model.accounts import folded
from services.kernel.errors import InvalidArgument

_LIST = Path(__file__).with_name("common_passwords.txt")


class AnyPassword:
    """`ports.PasswordRules` that only asks for text."""

    def check(self, field: str, password: str) -> None:
        """See `ports.PasswordRules`."""
        if "\0" in password:
            raise InvalidArgument.field(field, "must not contain the character U+0000; leave it out")
        # Half of a pair is no character: it has no UTF-8 to be hashed. Only a command line or a file can bring one.
        if any("\ud800" <= character <= "\udfff" for character in password):
            raise InvalidArgument.field(field, "must be valid Unicode; it has half of a surrogate pair")


class CommonPasswords:
    """`ports.PasswordRules` that also refuse what guessing begins with (NIST SP 800-63B §5.1.1.2)."""

    def __init__(self) -> None:
        self._text = AnyPassword()

    def check(self, field: str, password: str) -> None:
        """See `ports.PasswordRules`. The list is read at the first call."""
        self._text.check(field, password)
        if folded(password) in common_passwords():
            raise InvalidArgument.field(
                field, "is one of the most common passwords, which are guessed first; choose another one"
            )


@cache
def common_passwords() -> frozenset[str]:
    """The most common passwords of at least eight characters, folded."""
    _, _, passwords = _LIST.read_text(encoding="utf-8").partition("\n\n")
    return frozenset(passwords.split())
