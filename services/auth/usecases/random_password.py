"""Passwords that the server makes for people."""

from __future__ import annotations

import secrets

# Neither 0 and O nor 1, I and l, which people mix up. 20 of these carry 116 bits.
_ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH = 20


def random_password() -> str:
    """A new one, to be shown once."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
