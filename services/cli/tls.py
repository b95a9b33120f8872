"""How the client commands speak TLS, and what they tell when that fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.output import MISUSE, CommandFailed
from services.kernel.handshakes import Mismatch, mismatch_of

if TYPE_CHECKING:
    from antiphon_client import Address

_CA, _CERTIFICATE, _KEY = "ANTIPHON_CA", "ANTIPHON_CLIENT_CERTIFICATE", "ANTIPHON_CLIENT_KEY"
_ADVICE = {
    Mismatch.AUTHORITY: f"If a private authority signed it, set {_CA} to that authority's PEM file; if none should have, somebody may be in between.",
    Mismatch.VALIDITY: "The operator of the server has to renew it; look at this machine's clock, too.",
    Mismatch.NAME: "Call the server by a name or address that its certificate is for: --server https://NAME:PORT",
    Mismatch.CERTIFICATE: "The operator of the server has to look at it.",
    Mismatch.PLAINTEXT: "Write --server http://HOST:PORT if plain text will do: everyone on the way can read it.",
    Mismatch.FILES: f"Correct {_CA}, {_CERTIFICATE} or {_KEY}.",
}


def address_of(server: str) -> Address:
    """The server's address. Where TLS is spoken with it, ANTIPHON_CA, ANTIPHON_CLIENT_CERTIFICATE and ANTIPHON_CLIENT_KEY count.

    Raises CommandFailed for what is no address, and for files that can't be used.
    """
    from antiphon_client import TLS, Address

    try:
        address = Address.of(server)
    except ValueError as error:
        raise CommandFailed(str(error), reason="INVALID_ADDRESS", status=MISUSE) from None
    if address.tls is None:
        return address
    roots, certificate = _pem(_CA, "CERTIFICATE"), _pem(_CERTIFICATE, "CERTIFICATE")
    key = _pem(_KEY, "PRIVATE KEY")
    if (certificate is None) != (key is None):
        given, missing = (_KEY, _CERTIFICATE) if certificate is None else (_CERTIFICATE, _KEY)
        raise CommandFailed(f"{given} is set without {missing}", f"Set {missing}, too.", status=MISUSE)
    return Address.of(server, TLS(roots=roots, certificate=certificate, key=key))


def failure_of(details: str, server: str) -> tuple[str, str] | None:
    """What happened, and what to do, when it is for TLS that the server can't be spoken to; None when it is not, or nobody knows."""
    mismatch = mismatch_of(details)
    if mismatch is None or not server:
        return None
    if mismatch is not Mismatch.CUT:
        return f"{server} can't be spoken to over TLS: {mismatch.value}", _ADVICE[mismatch]
    if not _over_tls(server):
        return None
    asks = f"If it asks for certificates, set {_CERTIFICATE} and {_KEY} to one that it accepts."
    return f"the server at {server} broke the connection off", asks


def perhaps_tls(details: str, server: str) -> str:
    """What to try where plain text was not answered as a server of plain text would; may be empty."""
    if mismatch_of(details) is not Mismatch.CUT or not server or _over_tls(server):
        return ""
    return f"If it speaks TLS: --server https://{server.rpartition('://')[2]}"


def _over_tls(server: str) -> bool:
    from antiphon_client import Address

    return Address.of(server).tls is not None


def _pem(name: str, kind: str) -> bytes | None:
    path = os.environ.get(name, "").strip()
    if not path:
        return None
    try:
        pem = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CommandFailed(f"{name}: {path} can't be read: {error.strerror}", status=MISUSE) from None
    if f"{kind}-----".encode() not in pem:
        raise CommandFailed(f"{name}: {path} holds no {kind.lower()} in PEM form", status=MISUSE)
    return pem
