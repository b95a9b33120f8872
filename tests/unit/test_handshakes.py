"""What gRPC says of a connection that did not come about."""

import pytest

from services.kernel.handshakes import Mismatch, mismatch_of


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ("CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK", Mismatch.AUTHORITY),
        ("CERTIFICATE_VERIFY_FAILED: self signed certificate in certificate chain", Mismatch.AUTHORITY),
        (
            "ECDSA routines:OPENSSL_internal:BAD_SIGNATURE: certificate signature failure: OK",
            Mismatch.AUTHORITY,
        ),
        ("CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", Mismatch.VALIDITY),
        ("CERTIFICATE_VERIFY_FAILED: unsupported certificate purpose", Mismatch.CERTIFICATE),
        ("UNAUTHENTICATED: Hostname Verification Check failed.", Mismatch.NAME),
        ("OPENSSL_internal:WRONG_VERSION_NUMBER: OK", Mismatch.PLAINTEXT),
        ("Failed to create security handshaker.", Mismatch.FILES),
        ("last error: UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", Mismatch.CUT),
        ("last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused", None),
        ("DNS resolution failed for auth:1", None),
    ],
)
def test_words_become_a_mismatch(details: str, expected: Mismatch | None) -> None:
    assert mismatch_of(details) is expected
