"""Takes a JWT apart, strictly, before anything costly is done with it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from services.capabilities.identity.errors import TokenInvalid
from services.capabilities.identity.model import UnverifiedToken

MAXIMUM_CHARACTERS = 8192
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

# A header that brings its own key, or points to one, asks to be believed for its own sake; `crit` and `zip` ask for
# extensions that nothing here knows (RFC 7515 §4.1).
_REFUSED_HEADERS = frozenset(("jku", "jwk", "x5u", "x5c", "crit", "zip", "b64", "enc"))


def read(text: str) -> UnverifiedToken:
    """The parts of a compact JWS. Raises TokenInvalid."""
    if len(text) > MAXIMUM_CHARACTERS or not _COMPACT.fullmatch(text):
        raise TokenInvalid
    head, body, signature = text.split(".")
    header, payload = _object(head), _object(body)
    if not isinstance(header.get("alg"), str) or not _REFUSED_HEADERS.isdisjoint(header):
        raise TokenInvalid
    return UnverifiedToken(header, payload, f"{head}.{body}".encode(), _bytes(signature))


def _bytes(part: str) -> bytes:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise TokenInvalid from None
    # The last character may hold bits that are not used: one token would have several spellings.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise TokenInvalid
    return raw


def _object(part: str) -> dict[str, Any]:
    try:
        # The bytes themselves would be taken for UTF-16 or UTF-32 where they look like it.
        value = json.loads(_bytes(part).decode(), object_pairs_hook=_members, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise TokenInvalid from None
    if not isinstance(value, dict):
        raise TokenInvalid
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members. A name that comes twice means one thing to this reader and another one to the next."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
