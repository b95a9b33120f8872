"""Certificates and keys in PEM files, read with everything looked at that would fail a handshake, where nobody hears why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from services.kernel.startup import StartupError

_OTHERS = 0o007
_RSA_BITS = 2048
# Those that gRPC's TLS agrees to; with others every handshake fails.
_CURVES = ("secp256r1", "secp384r1")
_NEW_KEY = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"


class UnusableNow(StartupError):
    """Files that may become usable without being changed: when their time comes, or when they are read another time."""


class NotFitting(StartupError):
    """A certificate and a key that do not belong together, as in the middle of a renewal."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with those between it and its authority, its key, both as PEM; whom it is for, and the end of its validity."""

    chain: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...]
    expires: datetime


@dataclass(frozen=True, slots=True)
class Authorities:
    """Whose signatures are believed, as PEM, and when the last of them is no longer."""

    pem: bytes
    expires: datetime


def read_pair(certificate: Path, key: Path, certificate_setting: str, key_setting: str) -> Pair:
    """A certificate and its key. Raises StartupError, with the settings' names, when they can't be used, now or by their date."""
    chain = _read(certificate, "certificate", certificate_setting)
    own, *others = _certificates(chain, certificate, certificate_setting)
    _require_valid(own, f"The certificate {certificate}")
    expires = own.not_valid_after_utc
    # Of those further up clients may know others.
    if signers := [each for each in others if each.subject == own.issuer]:
        expires = min(
            expires, _require_one_valid(signers, f"The certificate of its authority in {certificate}")
        )
    private = _read_key(key, key_setting)
    _require_fitting(own, private, certificate, key)
    return Pair(chain, private, _names(own), expires)


def read_authorities(path: Path, setting: str) -> Authorities:
    """The certificates of authorities, one of which at least is valid. Raises StartupError."""
    pem = _read(path, "certificate", setting)
    found = _certificates(pem, path, setting)
    return Authorities(pem, _require_one_valid(found, f"The certificate {path}"))


def _read(path: Path, what: str, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableNow(
            f"The {what} {path} can't be read: {error.strerror}.", f"Correct {setting}, or its permissions."
        ) from error


def _read_key(path: Path, setting: str) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read()
    except OSError as error:
        raise UnusableNow(
            f"The key {path} can't be read: {error.strerror}.", f"Correct {setting}, or its permissions."
        ) from error
    if mode & _OTHERS:
        # A group may read it: that is how a key is given to a service that does not own it.
        raise StartupError(
            f"The key {path} can be read by every user of this machine.",
            f"chmod o= '{path}', and make a new key if anybody may have seen it.",
        )
    return pem


def _certificates(pem: bytes, path: Path, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise StartupError(
            f"{path} holds no certificate in PEM form, or one that is damaged.",
            f"Correct {setting}; such a file begins with -----BEGIN CERTIFICATE-----.",
        ) from error


def _require_one_valid(certificates: Sequence[x509.Certificate], called: str) -> datetime:
    """When the last of them is no longer valid: the next one may lie beside the old one."""
    last = max(certificates, key=lambda each: each.not_valid_after_utc)
    now = datetime.now(UTC)
    if not any(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in certificates):
        _require_valid(last, called)
    return last.not_valid_after_utc


def _require_valid(certificate: x509.Certificate, called: str) -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise UnusableNow(
            f"{called} has expired on {_day(certificate.not_valid_after_utc)}.",
            "Put a new one in its place.",
        )
    if certificate.not_valid_before_utc > now:
        raise UnusableNow(
            f"{called} is not valid before {_day(certificate.not_valid_before_utc)}.",
            "Wait for that, or look at this machine's clock.",
        )


def _require_fitting(own: x509.Certificate, pem: bytes, certificate: Path, path: Path) -> None:
    try:
        key: Any = load_pem_private_key(pem, None)
    except TypeError:
        raise StartupError(
            f"The key {path} has a passphrase.",
            f"Take it off: openssl pkey -in '{path}' -out NEW, for a file that its owner alone can read.",
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StartupError(
            f"{path} holds no private key in PEM form, or one that is damaged.",
            f"Put the key of {certificate} there.",
        ) from error
    usable = (isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_BITS) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES
    )
    if not usable:
        raise StartupError(
            f"The key {path} is of a kind that TLS is not spoken with here.",
            f"Take RSA of at least {_RSA_BITS} bits, or P-256 or P-384: {_NEW_KEY}",
        )
    try:
        fits = _public(own.public_key()) == _public(key.public_key())
    except (ValueError, UnsupportedAlgorithm):
        fits = False
    if not fits:
        raise NotFitting(
            f"The key {path} does not fit the certificate {certificate}.",
            "Put the certificate that was made for this key first in its file, and those of its authorities behind it.",
        )


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    return (
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
