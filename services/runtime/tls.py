"""TLS on the listener: with which certificate, whose callers, and files that are replaced while it serves."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import grpc

from services.kernel.startup import StartupError
from services.runtime.certificates import Authorities, Pair, read_authorities, read_pair
from services.runtime.replaceable import Replaceable
from services.settings import ServerSettings

_CERTIFICATE = "ANTIPHON_SERVER__TLS_CERTIFICATE"
_KEY = "ANTIPHON_SERVER__TLS_KEY"
_CLIENT_CA = "ANTIPHON_SERVER__TLS_CLIENT_CA"


@dataclass(frozen=True, slots=True)
class Read:
    """What the files hold."""

    own: Pair
    callers: Authorities | None

    @property
    def names(self) -> tuple[str, ...]:
        """Whom the certificate is for."""
        return self.own.names

    @property
    def expires(self) -> datetime:
        """When the first of them is no longer valid."""
        return self.own.expires if self.callers is None else min(self.own.expires, self.callers.expires)

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The same for gRPC."""
        callers = None if self.callers is None else self.callers.pem
        return grpc.ssl_server_certificate_configuration([(self.own.key, self.own.chain)], callers)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files that the listener's TLS is made of."""

    certificate: Path
    key: Path
    client_ca: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Each of them."""
        return (self.certificate, self.key, *(() if self.client_ca is None else (self.client_ca,)))

    def read(self) -> Read:
        """What they hold. Raises StartupError when they can't be used."""
        own = read_pair(self.certificate, self.key, _CERTIFICATE, _KEY)
        return Read(own, None if self.client_ca is None else read_authorities(self.client_ca, _CLIENT_CA))


class ListenerTls:
    """Has gRPC show the certificate that is in the files.

    They are looked at before each handshake, as `Replaceable` does. Whether callers need a certificate is decided at the start.
    Raises StartupError for files that can't be used from the beginning.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._mutual = files.client_ca is not None
        self._files = Replaceable("the certificate", files.paths, files.read)
        # gRPC asks in threads of its own, several at a time.
        self._lock = threading.Lock()
        self._shown = self._files.held()

    @property
    def names(self) -> tuple[str, ...]:
        """Whom the certificate in force is for."""
        return self._files.held().names

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC's listener."""
        return grpc.dynamic_ssl_server_credentials(
            self._shown.configuration(),
            self._changed,  # type: ignore[arg-type] # None means that nothing changed.
            require_client_authentication=self._mutual,
        )

    def reload(self) -> None:
        """Read the files, whether they look changed or not; what can't be used is told in the log, each time."""
        self._files.reload()

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        with self._lock:
            held = self._files.held()
            if held is self._shown:
                return None
            self._shown = held
            return held.configuration()


def files_of(settings: ServerSettings) -> TlsFiles | None:
    """The files that the settings name; None for plain text. Raises StartupError for one that does nothing without another."""
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, client_ca)
    given = {_CERTIFICATE: certificate, _KEY: key, _CLIENT_CA: client_ca}
    named = [name for name, path in given.items() if path is not None]
    missing = [name for name in (_CERTIFICATE, _KEY) if given[name] is None]
    if not named:
        return None
    raise StartupError(
        f"{' and '.join(named)} without {' and '.join(missing)}: nothing would be encrypted.",
        f"Set {' and '.join(missing)}, too.",
    )
