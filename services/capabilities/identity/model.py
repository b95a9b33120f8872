"""What a token says, and what was proved by it."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.capabilities.identity.errors import TokenExpired, TokenInvalid
from services.kernel.principal import Kind, Principal

OWN_TYPE = "at+jwt"
"""The `typ` of own access tokens (RFC 9068 §2.1)."""

REVISION_CLAIM = "rev"
"""The claim of own access tokens with the last revocation of the person that the token knows of: a position in the feed."""

SERVICE_ISSUER = "antiphon-service"
SERVICE_TYPE = "antiphon-service+jwt"

API_KEY_PREFIX = "ak_"

API_KEY_FORM = re.compile(API_KEY_PREFIX + r"([a-z2-7]{16})_[A-Za-z0-9]{43}")
"""An API key, whole: the group is its public id, the rest its secret."""

CLOCK_SKEW_SECONDS = 30.0
"""How far in the future a token may have been issued, by the clock of another machine."""

_FAR_FUTURE = 253_402_300_800.0

# A program's account calls like a person; only a service token makes a caller one of the deployment's services.
CALLER_KINDS: Mapping[str, Kind] = {"user": Kind.USER, "service": Kind.USER, "admin": Kind.ADMIN}
"""What an account is as a caller, by its role as tokens spell it."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A JWT that was taken apart and not believed yet (RFC 7519)."""

    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    signing_input: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        """The `alg` of the header."""
        return str(self.header["alg"])

    @property
    def issuer(self) -> str:
        """The `iss` that it names; empty when it names none."""
        issuer = self.payload.get("iss", "")
        return issuer if isinstance(issuer, str) else ""

    def text(self, claim: str) -> str:
        """A claim that has to be a text and not empty. Raises TokenInvalid."""
        value = self.payload.get(claim)
        if not isinstance(value, str) or not value:
            raise TokenInvalid
        return value

    def uuid(self, claim: str) -> str:
        """A claim that has to be a UUID, in its canonical spelling. Raises TokenInvalid."""
        try:
            return str(uuid.UUID(self.text(claim)))
        except ValueError:
            raise TokenInvalid from None

    def time(self, claim: str) -> float | None:
        """A claim in Unix seconds, None without one. Raises TokenInvalid for what is no time."""
        value = self.payload.get(claim)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TokenInvalid
        if not math.isfinite(value) or not 0 <= value < _FAR_FUTURE:
            raise TokenInvalid
        return float(value)

    def check_audience(self, audience: str) -> None:
        """Raise TokenInvalid unless `aud`, a text or an array of them, has `audience`."""
        named = self.payload.get("aud")
        if named != audience and not (isinstance(named, list) and audience in named):
            raise TokenInvalid

    def lifetime(self, now: float, *, leeway: float = 0.0) -> tuple[float, float]:
        """When it was issued and when it stops being accepted, `leeway` included.

        Raises TokenInvalid when it does not expire at all or is not valid yet, TokenExpired when it has expired.
        """
        expires, issued, start = self.time("exp"), self.time("iat"), self.time("nbf")
        if expires is None:
            raise TokenInvalid
        for begin in (issued, start):
            if begin is not None and begin > now + max(leeway, CLOCK_SKEW_SECONDS):
                raise TokenInvalid
        if now >= expires + leeway:
            raise TokenExpired
        return issued or 0.0, expires + leeway


@dataclass(frozen=True, slots=True)
class Proof:
    """Who showed a credential, and when that was issued, in Unix seconds; 0 when it does not say.

    `revision` is the position in the feed of revocations that it knows of: for an access token its claim `rev`, for an API key
    the position from which it was looked up. Entries about its person, or its key, after that one make it void. `key_id` and `key` are
    what it was checked with, where an issuer publishes its keys.
    """

    principal: Principal
    issued_at: float
    revision: int = 0
    key_id: str = ""
    key: object = field(default=None, repr=False, compare=False)

    @property
    def revocable(self) -> bool:
        """Whether Auth could take it back: login sessions and API keys, unlike tokens of foreign issuers and of services."""
        return bool(self.principal.session_id or self.principal.api_key_id)


def foreign_user_id(issuer: str, subject: str) -> str:
    """The stable id of another issuer's person: UUIDv5 of the subject in a namespace of the issuer."""
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"antiphon:issuer:{issuer}")
    return str(uuid.uuid5(namespace, subject))
