"""Accounts of people."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TypeVar

from services.kernel.errors import InvalidArgument
from services.kernel.names import folded as folded

T = TypeVar("T")


class Role(Enum):
    """What an account may do, as tokens and tables spell it."""

    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class User:
    """An account of a person. `username` is empty when none was chosen."""

    user_id: str
    email: str
    username: str
    display_name: str
    role: Role
    disabled: bool
    create_time: datetime
    update_time: datetime

    @property
    def administers(self) -> bool:
        """Whether it is an administrator's who can log in."""
        return self.role is Role.ADMIN and not self.disabled


@dataclass(frozen=True, slots=True)
class Account:
    """An account together with what its password is checked against."""

    user: User
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made."""

    user_id: str
    email: str
    password_hash: str = field(repr=False)
    username: str = ""
    display_name: str = ""
    role: Role = Role.USER


@dataclass(frozen=True, slots=True)
class AccountChanges:
    """What is to become of an account; None leaves as it is. An empty username is none."""

    username: str | None = None
    display_name: str | None = None
    role: Role | None = None
    disabled: bool | None = None

    def of(self, user: User) -> AccountChanges:
        """Those of the changes that make the account another one."""

        def other(wished: T | None, known: T) -> T | None:
            return None if wished == known else wished

        return AccountChanges(
            username=other(self.username, user.username),
            display_name=other(self.display_name, user.display_name),
            role=other(self.role, user.role),
            disabled=other(self.disabled, user.disabled),
        )

    @property
    def nothing(self) -> bool:
        """Whether everything stays as it is."""
        return self == AccountChanges()

    @property
    def told(self) -> dict[str, str]:
        """What the trail tells of them: names of people are left out, it outlives them."""
        fields = ", ".join(name for name in ("username", "display_name") if getattr(self, name) is not None)
        told = {"fields": fields} if fields else {}
        if self.role is not None:
            told["role"] = self.role.value
        if self.disabled is not None:
            told["disabled"] = str(self.disabled).lower()
        return told


_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,31}")
_DISPLAY_NAME_CHARACTERS = 128


def checked_changes(changes: AccountChanges) -> AccountChanges:
    """The changes, if an account can have them. Raises InvalidArgument; fields are named as in a request's `user`."""
    if changes.username and not _USERNAME.fullmatch(changes.username):
        raise InvalidArgument.field(
            "user.username",
            "must be 3 to 32 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit",
        )
    if changes.display_name is not None:
        storable("user.display_name", changes.display_name)
        if len(changes.display_name) > _DISPLAY_NAME_CHARACTERS:
            raise InvalidArgument.field(
                "user.display_name", f"must have at most {_DISPLAY_NAME_CHARACTERS} characters"
            )
    return changes


def canonical_password(password: str) -> str:
    """The form of a password that is hashed, so that two keyboards that spell `é` in different ways both log in."""
    return unicodedata.normalize("NFKC", password)


def storable(field_name: str, text: str) -> str:
    """The text, if it may be kept as a name that others are shown. Raises InvalidArgument for control characters, which PostgreSQL
    can't hold or which would steer the terminal of whoever reads it, and for lone surrogates."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidArgument.field(
                field_name, f"must not contain the control character U+{ord(character):04X}"
            )
    return text


@dataclass(frozen=True, slots=True)
class FirstAdministrator:
    """The account that the first start made, and its password, which is shown once."""

    email: str
    password: str = field(repr=False)
