"""Login sessions of this person on this machine: one file, readable by them alone, a session per server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from antiphon_client import Tokens
from services.cli.output import CommandFailed

LOCK_SECONDS = 40.0
"""How long another process may hold the sessions: longer than a renewal takes."""


def credentials_file() -> Path:
    """Where the sessions are kept."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base and Path(base).is_absolute() else Path.home() / ".config"
    return folder / "antiphon" / "credentials.json"


def servers_with_a_login() -> list[str]:
    """The servers where a login session is kept, as far as that can be read."""
    try:
        return sorted(json.loads(credentials_file().read_text(encoding="utf-8"))["servers"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


class CredentialsFile:
    """The tokens of the login session at `server`: a TokenStore of the client.

    The file is replaced as a whole and under a lock, so that two commands that renew at once keep one living session.
    """

    def __init__(self, server: str, path: Path | None = None) -> None:
        self._server = server
        self._path = path or credentials_file()

    def load(self) -> Tokens | None:
        """The tokens; None when nobody has logged in there."""
        entry = self._read().get(self._server)
        if entry is None:
            return None
        try:
            return Tokens(**entry)
        except TypeError:
            raise self._unreadable() from None

    def save(self, tokens: Tokens | None) -> None:
        """Replaces the tokens; None removes them."""
        servers = self._read()
        if tokens is None:
            servers.pop(self._server, None)
        else:
            servers[self._server] = asdict(tokens)
        self._write(servers)

    @contextlib.contextmanager
    def exclusive(self, timeout: float | None = None) -> Iterator[None]:
        """Held while tokens are renewed, against other processes, too. Raises TimeoutError when another holds it for longer than `timeout`
        seconds, and CommandFailed when that is for too long whoever asks."""
        with self._explained():
            self._make_folder()
            lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            began = time.monotonic()
            while not _try_lock(lock):
                waited = time.monotonic() - began
                if timeout is not None and waited >= timeout:
                    raise TimeoutError
                if waited > LOCK_SECONDS:
                    raise CommandFailed(
                        "another antiphon command has been renewing the login session for too long",
                        "Wait for it or end it, then try again.",
                    )
                time.sleep(0.02)
            yield
        finally:
            os.close(lock)

    def _read(self) -> dict[str, dict[str, Any]]:
        with self._explained():
            try:
                text = self._path.read_text(encoding="utf-8")
            except FileNotFoundError:
                return {}
        try:
            servers = json.loads(text)["servers"]
            if not all(isinstance(entry, dict) for entry in servers.values()):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._unreadable() from None
        return dict(servers)

    def _write(self, servers: dict[str, dict[str, Any]]) -> None:
        with self._explained():
            self._make_folder()
            # A link to a file elsewhere stays a link.
            path = self._path.resolve()
            # Made by mkstemp, the file is its owner's alone from the first byte on.
            descriptor, name = tempfile.mkstemp(prefix=".credentials-", dir=path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump({"version": 1, "servers": servers}, file, indent=2)
                    file.write("\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise

    def _make_folder(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CommandFailed(
                f"login sessions can't be kept in {self._path}: {error.strerror}",
                "Make the folder writable, or choose another one with XDG_CONFIG_HOME.",
            ) from None
        except UnicodeDecodeError:
            raise self._unreadable() from None

    def _unreadable(self) -> CommandFailed:
        return CommandFailed(
            f"{self._path} is not what antiphon wrote",
            "Remove the file, then log in again: antiphon login EMAIL",
        )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
