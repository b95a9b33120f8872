"""Certificates for rounds over mutual TLS, and what a client can have of them: an authority, a server on the loopback interface, and a
client; and the same of another authority, which the suite does not know."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 30

PLAIN = "plain"
MUTUAL = "mutual"
NAMES = frozenset({PLAIN, MUTUAL, "foreign-authority", "foreign-certificate", "no-certificate", "wrong-name"})
"""What a client can have."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Where the certificates of a round over mutual TLS are."""

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """Those that a suite knows, and foreign ones."""

    known: ServerTls
    foreign: ServerTls

    def of_client(self, name: str) -> Mapping[str, str] | None:
        """What a runner is told of TLS; None where there is none."""
        if name == PLAIN:
            return None
        own = self.foreign if name == "foreign-certificate" else self.known
        told = {"ca": str((self.foreign if name == "foreign-authority" else self.known).ca)}
        if name != "no-certificate":
            told |= {"certificate": str(own.client_certificate), "key": str(own.client_key)}
        return told | ({"server_name": "elsewhere.example"} if name == "wrong-name" else {})


def make(folder: Path) -> Certificates:
    """Files in PEM, keys for their owner alone."""
    return Certificates(_of_authority(folder / "known"), _of_authority(folder / "foreign"))


def _of_authority(folder: Path) -> ServerTls:
    folder.mkdir(parents=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Conformance authority")
    ca = (
        _begun(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = ServerTls(
        *(folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key"))
    )
    files.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    purposes = (
        (files.certificate, files.key, ExtendedKeyUsageOID.SERVER_AUTH, "localhost"),
        (files.client_certificate, files.client_key, ExtendedKeyUsageOID.CLIENT_AUTH, "a runner"),
    )
    for certificate, key_file, purpose, name in purposes:
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        made = (
            _begun(_name(name), ca_name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(alternatives, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
            )
            .sign(ca_key, hashes.SHA256())
        )
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return files


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_DAYS))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
