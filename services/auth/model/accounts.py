"""Accounts of people."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from services.kernel.errors import InvalidArgument
from services.kernel.names import folded as folded


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
    """The text, if PostgreSQL can hold it. Raises InvalidArgument for U+0000."""
    if "\0" in text:
        raise InvalidArgument.field(field_name, "must not contain the character U+0000")
    return text


@dataclass(frozen=True, slots=True)
class FirstAdministrator:
    """The account that the first start made, and its password, which is shown once."""

    email: str
    password: str = field(repr=False)
