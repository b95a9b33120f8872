"""Why a connection over TLS did not come about, read out of what gRPC says of it: it has words for that, and no codes."""

from __future__ import annotations

from enum import Enum


class Mismatch(Enum):
    """What two sides did not agree on, in a few words."""

    AUTHORITY = "its certificate is signed by no authority that is believed here"
    VALIDITY = "its certificate has expired, or is not valid yet"
    NAME = "its certificate is for another name"
    CERTIFICATE = "its certificate can't be used"
    PLAINTEXT = "it does not speak TLS"
    FILES = "the PEM files given for TLS can't be used"
    CUT = "it broke the connection off"


# The first that fits. A server that wants a certificate, or hears plain text where it speaks TLS, just closes the connection.
_SIGNS = (
    ("unable to get local issuer certificate", Mismatch.AUTHORITY),
    ("unable to get issuer certificate", Mismatch.AUTHORITY),
    ("self signed certificate", Mismatch.AUTHORITY),
    ("self-signed certificate", Mismatch.AUTHORITY),
    # Another authority of the same name.
    ("certificate signature failure", Mismatch.AUTHORITY),
    ("certificate has expired", Mismatch.VALIDITY),
    ("certificate is not yet valid", Mismatch.VALIDITY),
    ("Hostname Verification Check failed", Mismatch.NAME),
    ("CERTIFICATE_VERIFY_FAILED", Mismatch.CERTIFICATE),
    ("WRONG_VERSION_NUMBER", Mismatch.PLAINTEXT),
    ("Failed to create security handshaker", Mismatch.FILES),
    ("Socket closed", Mismatch.CUT),
    ("Connection reset by peer", Mismatch.CUT),
)


def mismatch_of(details: str) -> Mismatch | None:
    """What gRPC's details of an UNAVAILABLE say of TLS; None when they say nothing of it."""
    return next((found for sign, found in _SIGNS if sign in details), None)
