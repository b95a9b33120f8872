"""Refresh tokens: opaque, and each the key to its successor."""

from __future__ import annotations

import hashlib
import os
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.auth.errors import RefreshTokenInvalid

# The prefix lets scanners for leaked secrets know one when they see it.
PREFIX = "rt_"
_TOKEN = re.compile(r"rt_[A-Za-z0-9_-]{43}")
_TOKEN_BYTES = 32
_NONCE_BYTES = 12


class OpaqueRefreshTokens:
    """`ports.RefreshTokens`: 256 random bits in base64url; successors under AES-256-GCM with a key that HKDF-SHA256 (RFC 5869)
    derives from the presented token, so that the server, which keeps digests only, can't read them."""

    def make(self) -> str:
        """See `ports.RefreshTokens`."""
        return PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)

    def digest(self, token: str) -> bytes:
        """See `ports.RefreshTokens`."""
        if not _TOKEN.fullmatch(token):
            raise RefreshTokenInvalid
        return hashlib.sha256(token.encode()).digest()

    def seal(self, successor: str, presented: str) -> bytes:
        """See `ports.RefreshTokens`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(_key(presented)).encrypt(nonce, successor.encode(), self.digest(presented))

    def unseal(self, sealed: bytes, presented: str) -> str:
        """See `ports.RefreshTokens`."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(_key(presented)).decrypt(nonce, ciphertext, self.digest(presented)).decode()
        except (InvalidTag, ValueError):
            raise RefreshTokenInvalid from None


def _key(presented: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"antiphon auth refresh successor")
    return derivation.derive(presented.encode())
