"""How this process knows its peers over TLS, and they it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from services.kernel.startup import StartupError
from services.settings import PeerSettings

if TYPE_CHECKING:
    from services.runtime.certificates import Authorities, Pair

_CA, _CERTIFICATE, _KEY = "ANTIPHON_PEERS__CA", "ANTIPHON_PEERS__CERTIFICATE", "ANTIPHON_PEERS__KEY"


def credentials_of(peers: PeerSettings) -> grpc.ChannelCredentials:
    """Whose certificates are believed at https addresses, and which one is shown there. The files are read once.

    Raises StartupError when one of them can't be used.
    """
    roots, own = read_files(peers)
    pem = None if roots is None else roots.pem
    if own is None:
        return grpc.ssl_channel_credentials(pem)
    return grpc.ssl_channel_credentials(pem, own.key, own.chain)


def read_files(peers: PeerSettings) -> tuple[Authorities | None, Pair | None]:
    """What the files hold that are set. Raises StartupError, also for a certificate without a key."""
    if peers.ca is peers.certificate is peers.key is None:
        return None, None
    # What reads certificates is imported by those who have some.
    from services.runtime.certificates import read_authorities, read_pair

    roots = None if peers.ca is None else read_authorities(peers.ca, _CA)
    if peers.certificate is not None and peers.key is not None:
        return roots, read_pair(peers.certificate, peers.key, _CERTIFICATE, _KEY)
    if peers.certificate is not peers.key:
        given, missing = (_KEY, _CERTIFICATE) if peers.certificate is None else (_CERTIFICATE, _KEY)
        raise StartupError(f"{given} without {missing} proves nothing to a peer.", f"Set {missing}, too.")
    return roots, None
