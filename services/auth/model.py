"""Accounts, login sessions and signing keys."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from services.kernel.errors import InvalidArgument


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


def folded(name: str) -> str:
    """What makes two e-mails or usernames the same one: no case, one Unicode form (NFKC), no space around it."""
    # Folding case can undo the normal form and the other way round; one or two rounds settle it.
    while True:
        further = unicodedata.normalize("NFKC", name).casefold().strip()
        if further == name:
            return name
        name = further


def canonical_password(password: str) -> str:
    """The form of a password that is hashed, so that two keyboards that spell `é` in different ways both log in."""
    return unicodedata.normalize("NFKC", password)


def storable(field_name: str, text: str) -> str:
    """The text, if PostgreSQL can hold it. Raises InvalidArgument for U+0000."""
    if "\0" in text:
        raise InvalidArgument.field(field_name, "must not contain the character U+0000")
    return text


@dataclass(frozen=True, slots=True)
class NewSession:
    """A login session to be opened. `refresh_digest` is the SHA-256 of its first refresh token."""

    session_id: str
    user_id: str
    refresh_digest: bytes
    device_name: str
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Successor:
    """The refresh token that shall take the presented one's place: the SHA-256 of it, and the token sealed for whoever has the
    presented one."""

    row_id: str
    digest: bytes
    sealed: bytes
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class RefreshState:
    """Where a refresh token stands. `rotated_at` is None for one that was not used yet."""

    expires_at: datetime
    rotated_at: datetime | None
    revoked: bool
    disabled: bool


class Verdict(Enum):
    """What comes of presenting a refresh token."""

    ROTATED = "rotated"
    REPLAYED = "replayed"
    EXPIRED = "expired"
    REUSED = "reused"
    REVOKED = "revoked"
    DISABLED = "disabled"


def judge(state: RefreshState, now: datetime, grace: timedelta) -> Verdict:
    """What a refresh token is worth (OAuth 2.0 Security BCP, RFC 9700 §4.14.2, with a grace for lost answers)."""
    if state.revoked:
        return Verdict.REVOKED
    in_grace = state.rotated_at is not None and now < state.rotated_at + grace
    if not in_grace and now >= state.expires_at:
        return Verdict.EXPIRED
    if state.rotated_at is not None and not in_grace:
        return Verdict.REUSED
    if state.disabled:
        return Verdict.DISABLED
    return Verdict.REPLAYED if in_grace else Verdict.ROTATED


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of a presented refresh token. `sealed` and `expire_time` are its successor's; both are only set by the
    verdicts ROTATED and REPLAYED."""

    verdict: Verdict
    session_id: str
    user: User
    sealed: bytes = b""
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed access token and when it stops being accepted."""

    text: str = field(repr=False)
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login session holds."""

    access: AccessToken
    refresh_token: str = field(repr=False)
    refresh_expire_time: datetime


class KeyState(Enum):
    """A signing key is published as `next`, signs as `active`, and is still published as `retired` while its tokens live."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key as it is stored. `sealed_private` is encrypted with a key of the deployment; `public_pem` is not."""

    kid: str
    state: KeyState
    sealed_private: bytes = field(repr=False)
    public_pem: str


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An RSA public key (RFC 7518 §6.3): modulus and exponent, base64url without padding."""

    kid: str
    n: str
    e: str

    def as_jwk(self) -> dict[str, str]:
        """The key as RFC 7517 writes it."""
        return {"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256", "n": self.n, "e": self.e}


@dataclass(frozen=True, slots=True)
class FirstAdministrator:
    """The account that the first start made, and its password, which is shown once."""

    email: str
    password: str = field(repr=False)
