"""How this process knows its peers over TLS, and they it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from services.kernel.startup import StartupError
from services.settings import PeerSettings

if TYPE_CHECKING:
    from services.runtime.certificates import Authorities, Pair
    from services.runtime.replaceable import Replaceable

_CA, _CERTIFICATE, _KEY = "ANTIPHON_PEERS__CA", "ANTIPHON_PEERS__CERTIFICATE", "ANTIPHON_PEERS__KEY"


@dataclass(frozen=True, slots=True)
class PeerFiles:
    """What the files hold that are set: whose certificates are believed, and which one is shown."""

    roots: Authorities | None = None
    own: Pair | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Whom the certificate is for that is shown."""
        return () if self.own is None else self.own.names

    @property
    def expires(self) -> datetime:
        """When the first of them is no longer valid."""
        ends = (each.expires for each in (self.roots, self.own) if each is not None)
        return min(ends, default=datetime.max.replace(tzinfo=UTC))

    def credentials(self) -> grpc.ChannelCredentials:
        """The same for gRPC."""
        pem = None if self.roots is None else self.roots.pem
        if self.own is None:
            return grpc.ssl_channel_credentials(pem)
        return grpc.ssl_channel_credentials(pem, self.own.key, self.own.chain)


class PeerTls:
    """The credentials that https addresses of peers are spoken to with. Belongs to the event loop.

    Raises StartupError when one of the files can't be used from the beginning.
    """

    def __init__(self, peers: PeerSettings) -> None:
        self._files = _replaceable(peers)
        self._held = PeerFiles() if self._files is None else self._files.held()
        self._credentials = self._held.credentials()

    def credentials(self) -> grpc.ChannelCredentials:
        """Those in force: others than before once the files were replaced. Costs a look at each."""
        held = self._held if self._files is None else self._files.held()
        if held is not self._held:
            self._held, self._credentials = held, held.credentials()
        return self._credentials


def read_files(peers: PeerSettings) -> PeerFiles:
    """What the files hold that are set. Raises StartupError, also for a certificate without a key."""
    if not _paths(peers):
        return PeerFiles()
    # What reads certificates is imported by those who have some.
    from services.runtime.certificates import read_authorities, read_pair

    roots = None if peers.ca is None else read_authorities(peers.ca, _CA)
    if peers.certificate is not None and peers.key is not None:
        return PeerFiles(roots, read_pair(peers.certificate, peers.key, _CERTIFICATE, _KEY))
    if peers.certificate is not peers.key:
        given, missing = (_KEY, _CERTIFICATE) if peers.certificate is None else (_CERTIFICATE, _KEY)
        raise StartupError(f"{given} without {missing} proves nothing to a peer.", f"Set {missing}, too.")
    return PeerFiles(roots)


def _replaceable(peers: PeerSettings) -> Replaceable[PeerFiles] | None:
    paths = _paths(peers)
    if not paths:
        return None
    from services.runtime.replaceable import Replaceable

    return Replaceable("the certificate for peers", paths, lambda: read_files(peers))


def _paths(peers: PeerSettings) -> list[Path]:
    return [path for path in (peers.ca, peers.certificate, peers.key) if path is not None]
