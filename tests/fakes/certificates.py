"""Certificates as a private authority makes them, in files as an operator lays them down."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Lay both down as NAME.pem and NAME.key, each replaced at once as a careful operator does it; their paths."""
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            lay_down(path, content)
        return paths


class Authority:
    """A private authority, its own or certified `by` another. `ec.SECP256R1` keys unless a test brings its own."""

    def __init__(
        self,
        name: str = "Antiphon tests",
        *,
        by: Authority | None = None,
        since: dt.timedelta = DAY,
        until: dt.timedelta = DAY,
    ) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._certificate = (by or self)._signed(self._name, self._key, since, until, ())
        self.pem = self._certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        *names: str,
        common_name: str = "antiphon",
        since: dt.timedelta = DAY,
        until: dt.timedelta = 90 * DAY,
        key: CertificateIssuerPrivateKeyTypes | None = None,
    ) -> Issued:
        """A certificate for these names and addresses (127.0.0.1 when there is none), valid `since` ago and `until` from now."""
        private = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        made = self._signed(subject, private, since, until, names or ("127.0.0.1",))
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Issued(made.public_bytes(Encoding.PEM), pem)

    def _signed(
        self,
        subject: x509.Name,
        key: CertificateIssuerPrivateKeyTypes,
        since: dt.timedelta,
        until: dt.timedelta,
        names: Sequence[str],
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - since)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_named(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def lay_down(path: Path, content: bytes) -> Path:
    """Put a file in place of what was there, readable for its owner alone."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.chmod(0o600)
    new.replace(path)
    return path


def with_passphrase(key: bytes, passphrase: bytes) -> bytes:
    """The same key, encrypted."""
    private = serialization.load_pem_private_key(key, None)
    return private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, serialization.BestAvailableEncryption(passphrase)
    )
