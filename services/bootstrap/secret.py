"""Where the deployment's secret comes from."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.settings import Settings

FILE = "secret"
_MAKE_ONE = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'


def deployment_secret(settings: Settings, *, embedded: bool) -> DeploymentSecret:
    """The secret that the operator set, or, beside the embedded database, the one in the data directory, made when it is missing.

    Raises StartupError when there is none, or one that is too short.
    """
    if settings.secret_key is not None and settings.secret_key_file is not None:
        raise StartupError(
            "ANTIPHON_SECRET_KEY and ANTIPHON_SECRET_KEY_FILE are both set.", "Keep one of them."
        )
    if settings.secret_key is not None:
        return _secret(settings.secret_key.get_secret_value().encode(), "ANTIPHON_SECRET_KEY")
    if settings.secret_key_file is not None:
        return _secret(_read(settings.secret_key_file), f"The file {settings.secret_key_file}")
    if not embedded:
        raise StartupError(
            "ANTIPHON_SECRET_KEY is not set. With a database of your own all replicas need the same secret, so none is made up.",
            f"Set it, or ANTIPHON_SECRET_KEY_FILE. {_MAKE_ONE}",
        )
    path = settings.data_dir / FILE
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise StartupError(
            f"The data directory {settings.data_dir} cannot be used: {error.strerror}.",
            "Choose another one with --data-dir, or make this one writable for the user that runs the suite.",
        ) from error
    return _secret(_read(path), f"The file {path}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise StartupError(
            f"The deployment's secret in {path} can't be read: {error.strerror}.",
            "Correct the path, or let the user that runs the suite read the file.",
        ) from error


def _secret(material: bytes, where: str) -> DeploymentSecret:
    try:
        return DeploymentSecret(material)
    except ValueError:
        raise StartupError(
            f"{where} is too short for the deployment's secret: {DeploymentSecret.MINIMUM_BYTES} bytes are the least.",
            _MAKE_ONE,
        ) from None


def _make(path: Path) -> None:
    """Write a new secret, whole or not at all. When somebody else is quicker, theirs stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f"{FILE}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(48).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # A link fails where a rename would replace.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)
