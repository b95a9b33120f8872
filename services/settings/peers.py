"""Where the services are that run in other processes, and how they are spoken to."""

# ruff: noqa: RUF009 - `setting` makes a dataclass field.

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.settings.addresses import PEER_ADDRESS
from services.settings.kinds import PATH, setting


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Where the services are that run in other processes: `host:port` or `http://host:port`, `https://host:port` for TLS."""

    auth: str | None = setting(PEER_ADDRESS, None, "Address of Auth.", "USERS_SERVICE_URL")
    chat: str | None = setting(PEER_ADDRESS, None, "Address of Chat.", "LLM_SERVICE_URL")
    image: str | None = setting(PEER_ADDRESS, None, "Address of Image.", "IMAGE_SERVICE_URL")
    speech: str | None = setting(PEER_ADDRESS, None, "Address of Speech.", "SPEECH_SERVICE_URL")
    analytics: str | None = setting(PEER_ADDRESS, None, "Address of Analytics.", "ANALYTICS_SERVICE_URL")
    ca: Path | None = setting(
        PATH,
        None,
        "PEM file of the authorities whose certificates are believed at https addresses; without it the public ones that gRPC knows.",
    )
    certificate: Path | None = setting(
        PATH,
        None,
        "PEM file of the certificate that is shown there, where callers have to have one; with those between it and its authority.",
    )
    key: Path | None = setting(
        PATH, None, "PEM file of its key, without a passphrase, readable for its owner and group alone."
    )
