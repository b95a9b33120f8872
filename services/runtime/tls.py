"""TLS on the listener: with which certificate, whose callers, and files that are replaced while it serves."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import grpc

from services.kernel.startup import StartupError
from services.runtime.certificates import Authorities, Pair, read_authorities, read_pair
from services.settings import ServerSettings

_log = logging.getLogger(__name__)

_CERTIFICATE = "ANTIPHON_SERVER__TLS_CERTIFICATE"
_KEY = "ANTIPHON_SERVER__TLS_KEY"
_CLIENT_CA = "ANTIPHON_SERVER__TLS_CLIENT_CA"

# What tells a replaced file from the one that was read, following links.
_Marks = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """What the files hold."""

    own: Pair
    callers: Authorities | None

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

    def read(self) -> Read:
        """What they hold. Raises StartupError when they can't be used."""
        own = read_pair(self.certificate, self.key, _CERTIFICATE, _KEY)
        return Read(own, None if self.client_ca is None else read_authorities(self.client_ca, _CLIENT_CA))

    def marks(self) -> _Marks:
        """Differs after one of them was replaced or written; costs a look at each."""
        paths = (self.certificate, self.key, *(() if self.client_ca is None else (self.client_ca,)))
        return tuple(map(_mark, paths))


class ListenerTls:
    """Has gRPC show the certificate that is in the files.

    They are looked at before each handshake, and read when they changed. What can't be used leaves the certificate that was in
    force, and is told once in the log. Whether callers need a certificate is decided at the start. Raises StartupError for
    files that can't be used from the beginning.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        # gRPC asks in threads of its own, several at a time.
        self._lock = threading.Lock()
        self._seen = files.marks()
        self._inforce = files.read()
        self._fresh: grpc.ServerCertificateConfiguration | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Whom the certificate in force is for."""
        return self._inforce.own.names

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC's listener."""
        return grpc.dynamic_ssl_server_credentials(
            self._inforce.configuration(),
            self._changed,  # type: ignore[arg-type] # None means that nothing changed.
            require_client_authentication=self._files.client_ca is not None,
        )

    def reload(self) -> None:
        """Read the files, whether they look changed or not; what can't be used is told in the log, each time."""
        with self._lock:
            self._look(self._files.marks())

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        with self._lock:
            marks = self._files.marks()
            if marks != self._seen:
                self._look(marks)
            fresh, self._fresh = self._fresh, None
            return fresh

    def _look(self, marks: _Marks) -> None:
        self._seen = marks
        try:
            found = self._files.read()
        except StartupError as error:
            _log.error(
                "the certificate was not replaced", extra={"why": error.message, "advice": error.advice}
            )
            return
        except Exception:
            # This runs in a thread of gRPC's, which would refuse the connection.
            _log.exception("the certificate was not replaced")
            return
        if found == self._inforce:
            return
        self._inforce, self._fresh = found, found.configuration()
        _log.info(
            "the certificate was replaced",
            extra={"names": found.own.names, "expires": found.expires.isoformat()},
        )


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


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
