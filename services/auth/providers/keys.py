"""RSA keys: making, sealing, reading and naming them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from services.auth.model.signing_keys import KeyState, PublicKey, SealedKey
from services.kernel.startup import StartupError

KEY_BITS = 2048
SEALING_PURPOSE = "auth.signing-keys"
"""What the key that seals private halves is derived from the deployment's secret for."""

_NONCE_BYTES = 12
_PUBLIC_PEM = re.compile(r"-----BEGIN ((?:RSA )?PUBLIC KEY)-----.+?-----END \1-----", re.DOTALL)


def describe(key: RSAPublicKey) -> PublicKey:
    """The public key as others read it, named by its thumbprint (RFC 7638)."""
    numbers = key.public_numbers()
    n, e = _number(numbers.n), _number(numbers.e)
    thumbprint = hashlib.sha256(json.dumps({"e": e, "kty": "RSA", "n": n}, separators=(",", ":")).encode())
    return PublicKey(kid=_base64url(thumbprint.digest()), n=n, e=e)


def generate(state: KeyState, sealing_key: bytes) -> SealedKey:
    """A new key; takes about a tenth of a second of a core."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    kid = describe(private.public_key()).kid
    plain = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + AESGCM(sealing_key).encrypt(nonce, plain, kid.encode())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SealedKey(kid, state, sealed, public.decode())


def unseal(key: SealedKey, sealing_key: bytes) -> RSAPrivateKey:
    """The private half. Raises StartupError when it was sealed with another deployment's secret, or is damaged."""
    nonce, ciphertext = key.sealed_private[:_NONCE_BYTES], key.sealed_private[_NONCE_BYTES:]
    try:
        plain = AESGCM(sealing_key).decrypt(nonce, ciphertext, key.kid.encode())
    except (InvalidTag, ValueError):
        raise StartupError(
            "The signing keys in the database can't be decrypted with this deployment secret.",
            "Set the ANTIPHON_SECRET_KEY that the database was first used with; all replicas need the same one.",
        ) from None
    # It was authenticated when it was decrypted, so its numbers need no test of their own.
    private = load_pem_private_key(plain, password=None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private, RSAPrivateKey)
    return private


class SealedKeys:
    """`ports.SigningKeyMaker`: keys sealed with AES-GCM, the key's id bound to them."""

    def __init__(self, sealing_key: bytes) -> None:
        self._sealing_key = sealing_key

    async def make(self, state: KeyState) -> SealedKey:
        """See `ports.SigningKeyMaker`."""
        return await asyncio.to_thread(generate, state, self._sealing_key)

    async def check(self, key: SealedKey) -> None:
        """See `ports.SigningKeyMaker`."""
        await asyncio.to_thread(unseal, key, self._sealing_key)


def read_public(pem: str) -> RSAPublicKey:
    """A public key from its PEM form. Raises ValueError for what is none, or is not RSA of enough bits."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is no public key in PEM form") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("it is no RSA key")
    return key


def read_private_file(path: Path, passphrase: str | None) -> RSAPrivateKey:
    """The signing key in a PEM file. Raises StartupError."""
    pem = _read(path)
    try:
        key = load_pem_private_key(pem, None if passphrase is None else passphrase.encode())
    except TypeError:
        if passphrase is not None:
            # A passphrase that the file does not need is no reason to stop.
            return read_private_file(path, None)
        raise StartupError(
            f"The signing key {path} is encrypted.", "Set JWT_PRIVATE_KEY_PASSPHRASE."
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StartupError(
            f"The signing key {path} can't be read: it is no private key in PEM form, or the passphrase is wrong.",
            "Correct JWT_PRIVATE_KEY_PATH or JWT_PRIVATE_KEY_PASSPHRASE.",
        ) from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < KEY_BITS:
        raise StartupError(
            f"The signing key {path} is no RSA key of at least {KEY_BITS} bits.",
            f"Make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{KEY_BITS}",
        )
    return key


def read_public_file(path: Path, private: RSAPrivateKey) -> Sequence[RSAPublicKey]:
    """The public keys in a PEM file, one of which has to be that of the signing key. Raises StartupError."""
    text = _read(path).decode(errors="replace")
    try:
        if "PRIVATE KEY" in text:
            raise ValueError("it holds a private key")
        # Without a block that looks like a key, the whole is read for the sake of its error.
        found = [match[0] for match in _PUBLIC_PEM.finditer(text)] or [text]
        public = [read_public(pem) for pem in found]
        if any(key.key_size < KEY_BITS for key in public):
            raise ValueError(f"it holds a key of fewer than {KEY_BITS} bits")
    except ValueError as error:
        raise StartupError(
            f"The public keys in {path} can't be used: {error}.", "Correct JWT_PUBLIC_KEY_PATH."
        ) from error
    if private.public_key().public_numbers() not in [key.public_numbers() for key in public]:
        raise StartupError(
            f"No public key in {path} belongs to the signing key.",
            "Correct JWT_PUBLIC_KEY_PATH, or leave it out: the signing key's own public key is published anyway.",
        )
    return public


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(
            f"The key file {path} can't be read: {error.strerror}.", "Correct its path or its permissions."
        ) from error


def _number(value: int) -> str:
    return _base64url(value.to_bytes((value.bit_length() + 7) // 8))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
