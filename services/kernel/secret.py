"""The deployment's secret, and what is derived from it."""

from __future__ import annotations

import hashlib
import hmac


class DeploymentSecret:
    """Roots everything internal: encryption of signing keys, page tokens, resume tokens, service tokens.

    Every purpose gets a key of its own by HKDF-SHA256 (RFC 5869), so that none can be used for another.
    """

    MINIMUM_BYTES = 32

    def __init__(self, material: bytes) -> None:
        if len(material) < self.MINIMUM_BYTES:
            raise ValueError(f"the deployment secret needs at least {self.MINIMUM_BYTES} bytes")
        self._pseudorandom_key = hmac.digest(b"antiphon", material, hashlib.sha256)

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for `purpose`, the same in every process of the deployment."""
        # One block of HKDF-Expand is all that 32 bytes need.
        return hmac.digest(self._pseudorandom_key, purpose.encode() + b"\x01", hashlib.sha256)

    def __repr__(self) -> str:
        return "DeploymentSecret(…)"
