"""What the doctor says of certificates: the listener's own, those for peers, and whether peers are reached with them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc

from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.peer_credentials import PeerTls, read_files
from services.kernel.handshakes import Mismatch, mismatch_of
from services.kernel.startup import StartupError
from services.settings import PeerSettings, ServerSettings, Settings

_SOON = 14
_DAY = 86400
_RENEW = "Put a new one in its place; docs/operations.md tells how."
_ADVICE = {
    Mismatch.AUTHORITY: "Set ANTIPHON_PEERS__CA to the PEM file of the authority that signed it.",
    Mismatch.VALIDITY: "Renew it, or look at the clocks of both machines.",
    Mismatch.NAME: "Name the peer as its certificate does.",
    Mismatch.PLAINTEXT: "Set TLS up there, or begin the address with http://.",
    Mismatch.CUT: "If it asks for certificates, set ANTIPHON_PEERS__CERTIFICATE and ANTIPHON_PEERS__KEY to one that it accepts.",
}


def certificates_found(settings: Settings) -> Iterator[Finding]:
    """The listener's certificate, and the files for peers; nothing of what is not set."""
    looks: dict[str, Callable[[], Finding | None]] = {
        "tls": lambda: _own(settings.server),
        "peers tls": lambda: _for_peers(settings.peers),
    }
    for name, look in looks.items():
        try:
            found = look()
        except StartupError as error:
            found = Finding(name, Verdict.BAD, error.message, error.advice)
        if found is not None:
            yield found


async def peer_over_tls(name: str, address: str, peers: PeerSettings, seconds: float) -> Finding:
    """Whether a peer at an https address answers, and why not."""
    # Why a handshake failed is told by the finding, and not twice.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from services.bootstrap.peers import channel_to

    try:
        tls = PeerTls(peers)
    except StartupError:
        return Finding(name, Verdict.BAD, f"{address} is not tried: see `peers tls`")
    async with channel_to(address, tls) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            await stub.Check(health_pb2.HealthCheckRequest(service="live"), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            mismatch = mismatch_of(error.details() or "")
            why = "no answer" if mismatch is None else mismatch.value
            advice = _ADVICE.get(mismatch) if mismatch is not None else None
            setting = f"ANTIPHON_PEERS__{name.rpartition(' ')[2].upper()}"
            return Finding(
                name,
                Verdict.BAD,
                f"{address} can't be reached: {why}",
                advice or f"Start it, or correct {setting}.",
            )
    return Finding(name, Verdict.GOOD, address)


def _own(server: ServerSettings) -> Finding | None:
    if server.tls_certificate is server.tls_key is server.tls_client_ca is None:
        return None
    from services.runtime.tls import files_of

    files = files_of(server)
    assert files is not None
    found = files.read()
    names = ", ".join(found.own.names) or "no name"
    callers = "" if found.callers is None else "; callers need one, too"
    return _by_days("tls", f"{files.certificate} is for {names}{callers}", found.expires)


def _for_peers(peers: PeerSettings) -> Finding | None:
    found = read_files(peers)
    if found.roots is None and found.own is None:
        return None
    addresses = (peers.auth, peers.chat, peers.image, peers.speech, peers.analytics)
    if not any((address or "").startswith("https://") for address in addresses):
        return Finding(
            "peers tls",
            Verdict.NOTE,
            "there are files for it, and no peer has an https address",
            "Begin the addresses of peers that speak TLS with https://.",
        )
    return _by_days(
        "peers tls", " and ".join(str(each) for each in (peers.ca, peers.certificate) if each), found.expires
    )


def _by_days(name: str, what: str, expires: datetime) -> Finding:
    days = math.floor((expires - datetime.now(UTC)).total_seconds() / _DAY)
    left = f"{what}; valid for {days} more days" if days != 1 else f"{what}; valid for 1 more day"
    return Finding(name, Verdict.NOTE, left, _RENEW) if days < _SOON else Finding(name, Verdict.GOOD, left)
